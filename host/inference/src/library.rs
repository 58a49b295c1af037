//! Where onnxruntime's shared library is.
//!
//! Nothing is loaded here: who loads it holds nothing else.

use std::path::{Path, PathBuf};

use crate::{Kit, LoadError};

/// Where systems have shared libraries, besides the folder of their own architecture.
const FOLDERS: [&str; 5] = ["/usr/local/lib", "/usr/lib", "/usr/lib64", "/opt/onnxruntime/lib", "/usr/local/lib64"];
/// As it is named by its own makers, and in their archives; the most general first.
const NAME: &str = "libonnxruntime.so";

/// The configured library, or the first of those where the system has its own.
pub fn find(kit: &Kit) -> Result<PathBuf, LoadError> {
    match &kit.onnxruntime {
        Some(path) if path.is_file() => std::path::absolute(path).map_err(|error| missing(path, &error.to_string())),
        Some(path) => Err(missing(path, "there is no such file")),
        None => {
            let folders: Vec<PathBuf> = folders().collect();
            folders.iter().find_map(|folder| in_folder(folder)).ok_or_else(|| nowhere(&folders))
        }
    }
}

fn folders() -> impl Iterator<Item = PathBuf> {
    let triple =
        format!("{}-linux-gnu{}", std::env::consts::ARCH, if cfg!(target_arch = "arm") { "eabihf" } else { "" });
    let own = ["/usr/local/lib", "/usr/lib"].map(|folder| Path::new(folder).join(&triple));
    own.into_iter().chain(FOLDERS.map(PathBuf::from))
}

/// `libonnxruntime.so`, or the one with the highest version behind it.
fn in_folder(folder: &Path) -> Option<PathBuf> {
    let plain = folder.join(NAME);
    if plain.is_file() {
        return Some(plain);
    }
    let version = |path: &PathBuf| -> Option<Vec<u32>> {
        let numbers = path.file_name()?.to_str()?.strip_prefix(NAME)?.strip_prefix('.')?;
        numbers.split('.').map(|number| number.parse().ok()).collect()
    };
    let files = folder.read_dir().ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let versions = files.filter_map(|path| Some((version(&path)?, path)));
    versions.filter(|(_, path)| path.is_file()).max().map(|(_, path)| path)
}

fn missing(path: &Path, why: &str) -> LoadError {
    let text = format!("{}, which [onnxruntime] library names, cannot be used: {why}; {CURE}", path.display());
    LoadError::Library(text)
}

fn nowhere(folders: &[PathBuf]) -> LoadError {
    let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let text = format!(
        "there is no {NAME} in {}; {CURE}, or write where it is: [onnxruntime] library = \"/path/to/{NAME}\"",
        folders.join(", ")
    );
    LoadError::Library(text)
}

const CURE: &str = "take onnxruntime 1.17 or newer from the system's packages, or from \
                    https://github.com/microsoft/onnxruntime/releases";

#[cfg(test)]
mod tests {
    use std::fs;

    use edgewit_worker::WorkerCommand;

    use super::*;

    fn kit(library: &Path) -> Kit {
        Kit { worker: WorkerCommand::this_binary(), onnxruntime: Some(library.to_owned()) }
    }

    /// Files of a folder, and the one that is taken.
    #[test]
    fn the_plain_name_is_taken_before_the_highest_version() {
        for (files, taken) in [
            (&["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.17.3", "libonnxruntime.so.1.17"][..], Some(1)),
            (&["libonnxruntime.so.1.31.1", "libonnxruntime.so"], Some(1)),
            (&["libonnxruntime.so.old", "libonnxruntime_providers_shared.so", "libonnxruntime.a"], None),
            (&[], None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            files.iter().for_each(|file| fs::write(folder.path().join(file), "").unwrap());
            fs::create_dir(folder.path().join("libonnxruntime.so.99")).unwrap();
            assert_eq!(in_folder(folder.path()), taken.map(|at: usize| folder.path().join(files[at])));
        }
    }

    #[test]
    fn what_is_configured_is_taken_or_missed() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("any.so");
        for there in [false, true] {
            if there {
                fs::write(&library, "").unwrap();
            }
            assert_eq!(find(&kit(&library)).is_ok(), there);
        }
        let LoadError::Library(text) = find(&kit(folder.path())).unwrap_err() else { panic!("another error") };
        assert!(text.contains("there is no such file; take onnxruntime"), "{text}");
    }

    #[test]
    fn where_it_was_looked_for_is_told_with_the_cure() {
        let LoadError::Library(text) = nowhere(&["/a".into(), "/b".into()]) else { panic!("another error") };
        assert!(text.starts_with("there is no libonnxruntime.so in /a, /b; take onnxruntime 1.17 or newer"), "{text}");
        assert!(text.ends_with("[onnxruntime] library = \"/path/to/libonnxruntime.so\""), "{text}");
    }
}
