//! A small file of keys and SHA-256 digests, replaced as a whole on every change.
//!
//! Text, so that an operator can read it, with a digest of itself as its last line: a torn, truncated, edited or
//! foreign file is noticed and counts as empty. It must never be written in place, hand out an entry of a damaged
//! file, wait for whatever else lies in its place, or grow without bound. One process writes it; if two do, the last
//! one wins and nothing is torn.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cap_std::fs::{Dir, File, FileType, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

const TITLE: &str = "edgewit digests 1";
const ENTRIES: usize = 4096;
const KEY_BYTES: usize = 128;
/// Every entry with the longest key, its digest, and a little more.
const FILE_BYTES: u64 = (ENTRIES * (KEY_BYTES + 66) + 256) as u64;

type Entries = BTreeMap<String, [u8; 32]>;

/// Shared by all threads of the process.
#[derive(Debug)]
pub struct DigestFile {
    dir: Dir,
    name: String,
    entries: Mutex<Entries>,
    damage: Option<Damage>,
}

/// Why the file that was found counted as empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("it is larger than the gateway would have written it")]
    TooLarge,
    #[error("it was no file, but a pipe, a socket or a device")]
    NotAFile,
    #[error("it was torn, edited, or not written by this gateway: its own digest does not match")]
    Digest,
    #[error("it was written by another version, in a format that this one does not read")]
    Format,
}

#[derive(Debug, thiserror::Error)]
pub enum DigestFileError {
    #[error("{step} failed")]
    Io {
        step: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("`{name}` is a folder, and is not removed with what may be in it; remove it yourself")]
    Folder { name: String },
    #[error("a key is 1 to {KEY_BYTES} letters, digits, or any of `-_.`")]
    Key,
    #[error("it holds {ENTRIES} digests, which is the most")]
    Full,
}

impl DigestFile {
    /// Reads the file, or begins an empty one if there is none or it is damaged.
    pub fn open(dir: Dir, name: &str) -> Result<DigestFile, DigestFileError> {
        for name in [name, &temporary(name)] {
            if found(&dir, name).map_err(failed("looking at the file of digests"))?.is_some_and(|kind| kind.is_dir()) {
                return Err(DigestFileError::Folder { name: name.into() });
            }
        }
        let (entries, damage) = match read(&dir, name).map_err(failed("reading the file of digests"))? {
            None => (Entries::new(), None),
            Some(read) => match read.and_then(|bytes| parse(&bytes)) {
                Ok(entries) => (entries, None),
                Err(damage) => (Entries::new(), Some(damage)),
            },
        };
        Ok(DigestFile { dir, name: name.into(), entries: Mutex::new(entries), damage })
    }

    /// What was wrong with the file when it was opened. To be reported: nothing else tells.
    pub fn damage(&self) -> Option<Damage> {
        self.damage
    }

    pub fn get(&self, key: &str) -> Option<[u8; 32]> {
        self.lock().get(key).copied()
    }

    /// Returns once the entry is on disk. If it fails, this value is as it was.
    pub fn put(&self, key: &str, digest: [u8; 32]) -> Result<(), DigestFileError> {
        if !is_key(key) {
            return Err(DigestFileError::Key);
        }
        self.change(|entries| {
            entries.insert(key.into(), digest);
        })
    }

    /// Forgets every entry whose key is not kept.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) -> Result<(), DigestFileError> {
        self.change(|entries| entries.retain(|key, _| keep(key)))
    }

    fn change(&self, change: impl FnOnce(&mut Entries)) -> Result<(), DigestFileError> {
        let mut entries = self.lock();
        let mut changed = entries.clone();
        change(&mut changed);
        if changed == *entries {
            return Ok(());
        }
        if changed.len() > ENTRIES {
            return Err(DigestFileError::Full);
        }
        self.write(&format(&changed))?;
        *entries = changed;
        Ok(())
    }

    fn write(&self, text: &str) -> Result<(), DigestFileError> {
        let temporary = temporary(&self.name);
        let mut file = create(&self.dir, &temporary).map_err(failed("creating the file of digests"))?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(failed("writing the file of digests"))?;
        self.dir.rename(&temporary, &self.dir, &self.name).map_err(failed("renaming the file of digests"))?;
        let synced = self.dir.open(".").and_then(|dir| dir.sync_all());
        synced.map_err(failed("syncing the directory of the file of digests"))
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // The map is replaced in one assignment, so it is whole even after a panic.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(step: &'static str) -> impl Fn(io::Error) -> DigestFileError {
    move |source| DigestFileError::Io { step, source }
}

fn is_key(key: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=KEY_BYTES).contains(&key.len()) && key.bytes().all(allowed)
}

fn temporary(name: &str) -> String {
    format!("{name}.tmp")
}

/// What lies there, be it a link.
fn found(dir: &Dir, name: &str) -> io::Result<Option<FileType>> {
    match dir.symlink_metadata(name) {
        Ok(found) => Ok(Some(found.file_type())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A new file, and not whatever was left in its place.
fn create(dir: &Dir, name: &str) -> io::Result<File> {
    match dir.remove_file(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    dir.open_with(name, &options)
}

/// At most one byte more than a whole file can have. Opening does not wait: not for the writer of a pipe, either.
fn read(dir: &Dir, name: &str) -> io::Result<Option<Result<Vec<u8>, Damage>>> {
    match found(dir, name)? {
        None => return Ok(None),
        Some(kind) if kind.is_file() || kind.is_symlink() => {}
        Some(_) => return Ok(Some(Err(Damage::NotAFile))),
    }
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = match dir.open_with(name, &options) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Ok(Some(Err(Damage::NotAFile)));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(Some(Ok(bytes)))
}

fn format(entries: &Entries) -> String {
    let mut text = format!("{TITLE}\n");
    for (key, digest) in entries {
        text.extend([key, " ", &hex(digest), "\n"]);
    }
    let digest = hex(&Sha256::digest(&text).into());
    text + &digest + "\n"
}

fn parse(bytes: &[u8]) -> Result<Entries, Damage> {
    if bytes.len() as u64 > FILE_BYTES {
        return Err(Damage::TooLarge);
    }
    let (body, last) = bytes.split_at_checked(bytes.len().wrapping_sub(65)).ok_or(Damage::Digest)?;
    if last != format!("{}\n", hex(&Sha256::digest(body).into())).as_bytes() {
        return Err(Damage::Digest);
    }
    let text = str::from_utf8(body).map_err(|_| Damage::Format)?;
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) {
        return Err(Damage::Format);
    }
    lines.map(|line| entry(line).ok_or(Damage::Format)).collect()
}

fn entry(line: &str) -> Option<(String, [u8; 32])> {
    let (key, digits) = line.split_once(' ')?;
    let mut digest = [0; 32];
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !is_key(key) || pairs.len() != digest.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some((key.into(), digest))
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use cap_std::ambient_authority;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use tempfile::TempDir;

    use super::*;

    fn open(dir: &TempDir) -> DigestFile {
        DigestFile::open(Dir::open_ambient_dir(dir.path(), ambient_authority()).unwrap(), "digests").unwrap()
    }

    fn filled() -> (TempDir, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let file = open(&dir);
        file.put("first", [1; 32]).unwrap();
        file.put("second.cwasm", [2; 32]).unwrap();
        let bytes = fs::read(dir.path().join("digests")).unwrap();
        (dir, bytes)
    }

    #[test]
    fn what_was_put_is_there_after_a_restart() {
        let (dir, _) = filled();
        let file = open(&dir);
        assert_eq!(file.damage(), None);
        assert_eq!((file.get("first"), file.get("second.cwasm")), (Some([1; 32]), Some([2; 32])));
        file.put("first", [3; 32]).unwrap();
        file.retain(|key| key == "first").unwrap();
        assert_eq!((open(&dir).get("first"), open(&dir).get("second.cwasm")), (Some([3; 32]), None));
    }

    #[test]
    fn a_file_that_was_never_there_is_empty_and_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(open(&dir).damage(), None);
        assert_eq!(open(&dir).get("first"), None);
    }

    #[test]
    fn a_torn_file_counts_as_empty_wherever_it_was_torn() {
        let (dir, bytes) = filled();
        for length in 0..bytes.len() {
            assert_eq!(parse(&bytes[..length]), Err(Damage::Digest), "{length}");
        }
        fs::write(dir.path().join("digests"), &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!((open(&dir).damage(), open(&dir).get("first")), (Some(Damage::Digest), None));
    }

    #[test]
    fn a_file_with_any_bit_flipped_counts_as_empty() {
        let (_, bytes) = filled();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&damaged), Err(Damage::Digest), "{bit}");
        }
    }

    #[test]
    fn a_foreign_file_counts_as_empty() {
        let sealed = |body: &str| format!("{body}{}\n", hex(&Sha256::digest(body).into()));
        let cases = [
            (sealed("edgewit digests 2\n"), Damage::Format),
            (sealed(""), Damage::Format),
            (sealed("edgewit digests 1\nfirst\n"), Damage::Format),
            (sealed("edgewit digests 1\nfirst 00\n"), Damage::Format),
            (sealed(&format!("edgewit digests 1\n../key {}\n", hex(&[0; 32]))), Damage::Format),
            ("x".repeat(FILE_BYTES as usize + 1), Damage::TooLarge),
        ];
        for (text, damage) in cases {
            let (dir, _) = filled();
            fs::write(dir.path().join("digests"), &text).unwrap();
            assert_eq!(open(&dir).damage(), Some(damage));
            open(&dir).put("first", [9; 32]).unwrap();
            assert_eq!((open(&dir).damage(), open(&dir).get("first")), (None, Some([9; 32])), "it recovers");
        }
    }

    /// Opening a pipe for reading waits for a writer, and for writing, for a reader.
    #[test]
    fn what_is_no_file_is_not_waited_for_and_replaced() {
        for kind in [FileType::Fifo, FileType::Socket] {
            let (dir, _) = filled();
            fs::remove_file(dir.path().join("digests")).unwrap();
            for name in ["digests", "digests.tmp"] {
                mknodat(CWD, dir.path().join(name), kind, Mode::RWXU, 0).unwrap();
            }
            let file = open(&dir);
            assert_eq!((file.damage(), file.get("first")), (Some(Damage::NotAFile), None), "{kind:?}");
            file.put("first", [9; 32]).unwrap();
            assert_eq!((open(&dir).damage(), open(&dir).get("first")), (None, Some([9; 32])), "{kind:?}: it recovers");
        }
    }

    #[test]
    fn a_folder_in_its_place_is_refused_with_its_name_and_kept() {
        for name in ["digests", "digests.tmp"] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("mine"), "keep me").unwrap();
            let handle = Dir::open_ambient_dir(dir.path(), ambient_authority()).unwrap();
            let refusal = DigestFile::open(handle, "digests").unwrap_err();
            assert!(refusal.to_string().contains(&format!("`{name}` is a folder")), "{refusal}");
            assert!(dir.path().join(name).join("mine").exists());
        }
    }

    #[test]
    fn a_crash_while_writing_leaves_the_old_file() {
        let (dir, bytes) = filled();
        fs::write(dir.path().join("digests.tmp"), &bytes[..20]).unwrap();
        let file = open(&dir);
        assert_eq!(file.get("first"), Some([1; 32]));
        file.put("third", [3; 32]).unwrap();
        assert_eq!(open(&dir).get("third"), Some([3; 32]));
    }

    #[test]
    fn what_cannot_be_kept_is_refused_and_changes_nothing() {
        let (dir, bytes) = filled();
        let file = open(&dir);
        for key in ["", "a b", "a\nb", "a/b", "é", &"k".repeat(KEY_BYTES + 1)] {
            assert!(matches!(file.put(key, [0; 32]), Err(DigestFileError::Key)), "{key:?}");
        }
        // A directory in the place of the temporary file stands for a disk that refuses.
        fs::create_dir(dir.path().join("digests.tmp")).unwrap();
        assert!(matches!(file.put("third", [3; 32]), Err(DigestFileError::Io { .. })));
        assert_eq!(file.get("third"), None);
        assert_eq!(fs::read(dir.path().join("digests")).unwrap(), bytes);
    }

    #[test]
    fn it_is_bounded_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let file = open(&dir);
        let full = |entries: &mut Entries| entries.extend((0..ENTRIES).map(|n| (format!("{n:0>128}"), [0; 32])));
        file.change(full).unwrap();
        assert!(matches!(file.put("one-more", [0; 32]), Err(DigestFileError::Full)));
        assert_eq!((open(&dir).damage(), open(&dir).lock().len()), (None, ENTRIES));
        let mode = fs::metadata(dir.path().join("digests")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
