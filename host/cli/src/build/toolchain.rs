//! Finds how Rust guests can be built on this machine: which compiler, with which environment and arguments for cargo.
//!
//! It looks and never installs: where nothing is found, the answer holds the one command that helps. Two ways are known:
//! the active toolchain has the target (rustup, or a distribution that ships it), or Debian's compiler, library source and
//! wasi-libc stand beside a rustup toolchain that lends its linkers. In the second way cargo builds the standard library
//! once per target directory: keep all guests that belong together in one.
//!
//! Only the standard library is used, because `xtask` includes this very file: one source of truth, and a quick build.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The target of every Rust guest; what cargo makes for it is already a component.
pub const TARGET: &str = "wasm32-wasip2";

const RUSTUP_COMMAND: &str = "rustup target add wasm32-wasip2";
const DEBIAN_COMMAND: &str = "apt-get install --no-install-recommends rustc-web rust-web-src wasi-libc";

/// How long `rustup` may take to say whether it reaches its server.
const RUSTUP_PATIENCE: Duration = Duration::from_secs(10);

/// Where a Debian system keeps what a guest is made of.
#[derive(Debug)]
struct SystemPlaces {
    compiler: PathBuf,
    library_source: PathBuf,
    libc: PathBuf,
}

impl SystemPlaces {
    fn of_debian() -> Self {
        Self {
            compiler: "/usr/bin/rustc".into(),
            library_source: "/usr/lib/rustlib/src/rust/library/std/Cargo.toml".into(),
            libc: "/usr/lib/wasm32-wasi".into(),
        }
    }

    fn are_there(&self) -> bool {
        self.compiler.is_file() && self.library_source.is_file() && self.libc.join("libc.a").is_file()
    }
}

/// A way to build guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// For people: what was found.
    pub description: String,
    /// What cargo needs in its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// What cargo needs besides `--target`.
    pub arguments: Vec<OsString>,
}

impl Toolchain {
    /// `cargo build --release` for guests, to be run in `directory`; packages and more are for the caller to add.
    pub fn build_command(&self, directory: &Path) -> Command {
        let mut command = Command::new(cargo());
        command.current_dir(directory).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(["build", "--release", "--target", TARGET]).args(&self.arguments);
        command
    }
}

/// Why guests cannot be built here, and the one command that changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// No Rust compiler answers.
    Rust,
    /// The compiler has no library for the target, and rustup can fetch it.
    TargetFromRustup,
    /// The compiler has no library for the target, and Debian's packages have what is needed.
    TargetFromDebian,
    /// Debian's packages are there, but nobody brings the linker that makes components.
    Linker,
}

impl Missing {
    /// The one command that installs what is missing.
    pub fn command(&self) -> &'static str {
        match self {
            Self::Rust => "rustup toolchain install stable",
            Self::TargetFromRustup => RUSTUP_COMMAND,
            Self::TargetFromDebian => DEBIAN_COMMAND,
            Self::Linker => "cargo install wasm-component-ld --locked && apt-get install --no-install-recommends lld",
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Rust => "there is no Rust compiler on the PATH",
            Self::TargetFromRustup | Self::TargetFromDebian => "the Rust toolchain has no library for wasm32-wasip2",
            Self::Linker => "there is no wasm-component-ld on the PATH or in a rustup toolchain",
        };
        write!(out, "{what}; run: {}", self.command())
    }
}

impl std::error::Error for Missing {}

/// Looks for a way to build guests whose sources are in `directory`, which may choose its toolchain by a file.
pub fn find(directory: &Path) -> Result<Toolchain, Missing> {
    let system = SystemPlaces::of_debian();
    let Some(active) = Active::ask(directory) else {
        return Err(Missing::Rust);
    };
    if active.has_target() {
        let description = format!("{TARGET} of {}", active.sysroot.display());
        return Ok(Toolchain { description, environment: Vec::new(), arguments: Vec::new() });
    }
    if system.are_there() {
        return from_system(&system, &active).ok_or(Missing::Linker);
    }
    Err(if rustup_reaches_its_server() { Missing::TargetFromRustup } else { missing_without_rustup() })
}

/// Debian's way, whether or not the active toolchain has the target.
fn from_system(system: &SystemPlaces, active: &Active) -> Option<Toolchain> {
    let path = linker_path(&active.linkers(), std::env::var_os("PATH").as_deref())?;
    let flags = [
        "-Clink-self-contained=no".to_string(),
        format!("-Lnative={}", system.libc.display()),
        "-Ctarget-feature=-crt-static".to_string(),
    ];
    Some(Toolchain {
        description: format!("{} with its own library source", system.compiler.display()),
        environment: vec![
            ("RUSTC".into(), system.compiler.clone().into()),
            // A stable compiler takes unstable options only so, and building the library is one.
            ("RUSTC_BOOTSTRAP".into(), "1".into()),
            ("PATH".into(), path),
            // The one variable that nothing in the environment or in a configuration file overrides.
            ("CARGO_ENCODED_RUSTFLAGS".into(), flags.join("\u{1f}").into()),
        ],
        arguments: vec!["-Zbuild-std=std,panic_abort".into()],
    })
}

/// The search path that leads to the linkers. None where nothing on it makes components.
fn linker_path(linkers: &Path, path: Option<&OsStr>) -> Option<OsString> {
    let leading = [linkers.to_path_buf(), linkers.join("gcc-ld")];
    let rest: Vec<PathBuf> = path.map(|path| std::env::split_paths(path).collect()).unwrap_or_default();
    let all: Vec<PathBuf> = leading.into_iter().chain(rest).collect();
    let has = |name: &str| all.iter().any(|directory| directory.join(name).is_file());
    if !(has("wasm-component-ld") && has("wasm-ld")) {
        return None;
    }
    std::env::join_paths(all).ok()
}

fn missing_without_rustup() -> Missing {
    let has_packages = Path::new("/usr/bin/apt-get").is_file();
    if has_packages { Missing::TargetFromDebian } else { Missing::TargetFromRustup }
}

/// The compiler that cargo would use.
#[derive(Debug)]
struct Active {
    sysroot: PathBuf,
    host: String,
}

impl Active {
    fn ask(directory: &Path) -> Option<Self> {
        let sysroot = PathBuf::from(answer(directory, &["--print", "sysroot"])?);
        let version = answer(directory, &["-vV"])?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "))?.to_string();
        Some(Self { sysroot, host })
    }

    fn has_target(&self) -> bool {
        let library = self.sysroot.join("lib/rustlib").join(TARGET).join("lib");
        let Ok(files) = std::fs::read_dir(library) else { return false };
        files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
    }

    fn linkers(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib").join(&self.host).join("bin")
    }
}

fn answer(directory: &Path, arguments: &[&str]) -> Option<String> {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).current_dir(directory).args(arguments).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_string())
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// `rustup check` asks the server for newer versions: it ends well, or with 100 where there are some, only if it got there.
fn rustup_reaches_its_server() -> bool {
    let check =
        Command::new("rustup").arg("check").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = check else { return false };
    let deadline = Instant::now() + RUSTUP_PATIENCE;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) => return matches!(status.code(), Some(0 | 100)),
            Ok(None) => std::thread::sleep(Duration::from_millis(50)),
            Err(_) => break,
        }
    }
    // Past its time it is of no more use; that it may have ended meanwhile is no harm.
    let _ = child.kill();
    let _ = child.wait();
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> PathBuf {
        let place = std::env::temp_dir().join(format!("edgewit-toolchain-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir_all(&place).unwrap();
        place
    }

    fn touch(file: PathBuf) {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "").unwrap();
    }

    fn active(sysroot: &Path) -> Active {
        Active { sysroot: sysroot.into(), host: "x86_64-unknown-linux-gnu".into() }
    }

    #[test]
    fn a_target_counts_only_with_its_library() {
        let sysroot = place("target");
        assert!(!active(&sysroot).has_target());
        let library = sysroot.join("lib/rustlib").join(TARGET).join("lib");
        touch(library.join("libcore-1.rlib"));
        assert!(!active(&sysroot).has_target());
        touch(library.join("libstd-1.rlib"));
        assert!(active(&sysroot).has_target());
        std::fs::remove_dir_all(sysroot).unwrap();
    }

    #[test]
    fn debian_counts_only_with_all_three_packages() {
        let root = place("debian");
        let system = SystemPlaces {
            compiler: root.join("rustc"),
            library_source: root.join("library/std/Cargo.toml"),
            libc: root.join("wasi"),
        };
        for file in [root.join("rustc"), root.join("library/std/Cargo.toml"), root.join("wasi/libc.a")] {
            assert!(!system.are_there());
            touch(file);
        }
        assert!(system.are_there());
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn debian_borrows_the_linkers_of_the_active_toolchain() {
        let sysroot = place("linkers");
        let system = SystemPlaces::of_debian();
        let linkers = active(&sysroot).linkers();
        assert_eq!(linker_path(&linkers, None), None);
        touch(linkers.join("wasm-component-ld"));
        assert_eq!(linker_path(&linkers, None), None);
        touch(linkers.join("gcc-ld/wasm-ld"));
        let found = from_system(&system, &active(&sysroot)).unwrap();
        let path = found.environment.iter().find(|(name, _)| name == "PATH").unwrap().1.to_string_lossy().into_owned();
        assert!(path.starts_with(&*linkers.to_string_lossy()), "{path}");
        assert_eq!(found.arguments, ["-Zbuild-std=std,panic_abort"]);
        std::fs::remove_dir_all(sysroot).unwrap();
    }

    #[test]
    fn what_is_missing_names_the_one_command() {
        assert!(Missing::TargetFromRustup.to_string().ends_with("run: rustup target add wasm32-wasip2"));
        assert!(Missing::TargetFromDebian.to_string().contains("rustc-web rust-web-src wasi-libc"));
    }
}
