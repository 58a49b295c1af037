//! The files that a power cut leaves: what was synced, and of the rest whatever the disk had got to.
//!
//! Stricter than any file system is: writes that were not synced may be there, be missing or be torn at sectors, each
//! for itself and in any order, and so may the names of files whose directory was not synced.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use super::trace::{Event, Happened};
use crate::model::Seeded;

const SECTOR: usize = 512;

#[derive(Clone, Copy, Debug)]
pub enum Rest {
    /// Nothing of what was not synced is there.
    Lost,
    /// All of it is.
    There,
    /// Each write as the seed says: there, lost, or torn.
    Torn(u64),
}

/// Files, and folders without content.
#[derive(Clone, Debug, Default)]
pub struct Image {
    entries: BTreeMap<PathBuf, Option<Vec<u8>>>,
}

type FileNumber = usize;

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Cut(usize),
}

#[derive(Clone, Debug)]
enum Naming {
    Named(PathBuf, Option<FileNumber>),
    Gone(PathBuf),
    Renamed(PathBuf, PathBuf),
}

/// With the index of the event.
type Pending<T> = Vec<(usize, T)>;

/// The disk at some event.
#[derive(Clone, Debug, Default)]
pub struct Simulated {
    dir: PathBuf,
    files: Vec<(Vec<u8>, Pending<Change>)>,
    /// As the process sees it.
    now: HashMap<PathBuf, Option<FileNumber>>,
    /// As the disk has it.
    named: BTreeMap<PathBuf, Option<FileNumber>>,
    naming: HashMap<PathBuf, Pending<Naming>>,
}

impl Simulated {
    /// A disk with these files, all synced, below `dir`.
    pub fn new(dir: &Path, image: &Image) -> Simulated {
        let mut disk = Simulated { dir: dir.to_path_buf(), ..Simulated::default() };
        for (path, content) in &image.entries {
            let number = content.clone().map(|content| {
                disk.files.push((content, Pending::new()));
                disk.files.len() - 1
            });
            disk.now.insert(dir.join(path), number);
            disk.named.insert(dir.join(path), number);
        }
        disk
    }

    pub fn happened(&mut self, index: usize, event: &Event) {
        match &event.what {
            Happened::Opened { path, created, emptied } => self.opened(index, path, *created, *emptied),
            Happened::Made { path } => {
                self.now.insert(path.clone(), None);
                self.name(index, path, Naming::Named(path.clone(), None));
            }
            Happened::Written { path, at, bytes } => {
                self.change(index, path, Change::Write { at: *at as usize, bytes: bytes.clone() });
            }
            Happened::Cut { path, length } => self.change(index, path, Change::Cut(*length as usize)),
            Happened::Synced { path } => self.synced(event.began, path),
            Happened::Renamed { from, to } => self.renamed(index, from, to),
            Happened::Removed { path } => {
                self.now.remove(path);
                self.name(index, path, Naming::Gone(path.clone()));
            }
            Happened::Said(_) => {}
        }
    }

    fn opened(&mut self, index: usize, path: &Path, created: bool, emptied: bool) {
        if !self.now.contains_key(path) && created {
            self.files.push((Vec::new(), Pending::new()));
            let number = Some(self.files.len() - 1);
            self.now.insert(path.into(), number);
            self.name(index, path, Naming::Named(path.into(), number));
        } else if emptied {
            self.change(index, path, Change::Cut(0));
        }
    }

    fn change(&mut self, index: usize, path: &Path, change: Change) {
        let number = self.now.get(path).copied().flatten().unwrap_or_else(|| panic!("{} is not there", path.display()));
        self.files[number].1.push((index, change));
    }

    fn name(&mut self, index: usize, path: &Path, naming: Naming) {
        self.naming.entry(path.parent().unwrap().into()).or_default().push((index, naming));
    }

    fn renamed(&mut self, index: usize, from: &Path, to: &Path) {
        let moved: Vec<_> = self.now.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for path in moved {
            let number = self.now.remove(&path).unwrap();
            self.now.insert(moved_to(&path, from, to), number);
        }
        // What waits below a folder goes on waiting under its new name.
        let waiting: Vec<_> = self.naming.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for path in waiting {
            let mut pending = self.naming.remove(&path).unwrap();
            for (_, naming) in &mut pending {
                match naming {
                    Naming::Named(path, _) | Naming::Gone(path) => *path = moved_to(path, from, to),
                    Naming::Renamed(one, two) => (*one, *two) = (moved_to(one, from, to), moved_to(two, from, to)),
                }
            }
            self.naming.insert(moved_to(&path, from, to), pending);
        }
        self.name(index, to, Naming::Renamed(from.into(), to.into()));
    }

    fn synced(&mut self, began: usize, path: &Path) {
        if let Some(Some(number)) = self.now.get(path).copied() {
            let (content, pending) = &mut self.files[number];
            for (_, change) in take_before(pending, began) {
                apply(content, &change, None);
            }
        } else {
            let before = self.naming.get_mut(path).map(|pending| take_before(pending, began)).unwrap_or_default();
            before.into_iter().for_each(|(_, naming)| rename(&mut self.named, &naming));
        }
    }

    /// What is left when the power goes now.
    pub fn cut(&self, rest: Rest) -> Image {
        let mut seeded = Seeded(if let Rest::Torn(seed) = rest { seed } else { 0 });
        let mut fate = || match rest {
            Rest::Lost => 1,
            Rest::There => 0,
            Rest::Torn(_) => seeded.below(4),
        };
        let mut named = self.named.clone();
        let mut waiting: Vec<_> = self.naming.values().flatten().collect();
        waiting.sort_by_key(|(index, _)| *index);
        for (_, naming) in waiting {
            if fate() != 1 {
                rename(&mut named, naming);
            }
        }
        let contents: Vec<Vec<u8>> = self
            .files
            .iter()
            .map(|(content, pending)| {
                let mut content = content.clone();
                for (index, change) in pending {
                    match fate() {
                        1 => {}
                        3 => apply(&mut content, change, Some(*index as u64 ^ fate())),
                        _ => apply(&mut content, change, None),
                    }
                }
                content
            })
            .collect();
        let mut image = Image::default();
        for (path, number) in &named {
            // A file below a folder that is not there cannot be reached.
            let whole = path
                .ancestors()
                .skip(1)
                .take_while(|folder| *folder != self.dir)
                .all(|folder| named.contains_key(folder));
            if whole {
                let content = number.map(|number| contents[number].clone());
                image.entries.insert(path.strip_prefix(&self.dir).unwrap().into(), content);
            }
        }
        image
    }
}

fn moved_to(path: &Path, from: &Path, to: &Path) -> PathBuf {
    let rest = path.strip_prefix(from).unwrap();
    if rest.as_os_str().is_empty() { to.into() } else { to.join(rest) }
}

fn take_before<T>(pending: &mut Pending<T>, began: usize) -> Vec<(usize, T)> {
    let (before, after) = std::mem::take(pending).into_iter().partition(|(index, _)| *index < began);
    *pending = after;
    before
}

fn rename(named: &mut BTreeMap<PathBuf, Option<FileNumber>>, naming: &Naming) {
    match naming {
        Naming::Named(path, number) => drop(named.insert(path.clone(), *number)),
        Naming::Gone(path) => drop(named.remove(path)),
        Naming::Renamed(from, to) => {
            let moved: Vec<_> = named.keys().filter(|path| path.starts_with(from)).cloned().collect();
            for path in moved {
                let number = named.remove(&path).unwrap();
                named.insert(moved_to(&path, from, to), number);
            }
        }
    }
}

/// With `torn`, only some of its sectors.
fn apply(content: &mut Vec<u8>, change: &Change, torn: Option<u64>) {
    match change {
        Change::Cut(length) => content.resize(*length, 0),
        Change::Write { at, bytes } => {
            content.resize(content.len().max(at + bytes.len()), 0);
            let mut seeded = torn.map(Seeded);
            let mut done = 0;
            while done < bytes.len() {
                let place = at + done;
                let part = (SECTOR - place % SECTOR).min(bytes.len() - done);
                if seeded.as_mut().is_none_or(|seeded| seeded.below(2) == 0) {
                    content[place..place + part].copy_from_slice(&bytes[done..done + part]);
                }
                done += part;
            }
        }
    }
}

impl Image {
    pub fn write(&self, dir: &Path) {
        for (path, content) in &self.entries {
            match content {
                None => fs::create_dir_all(dir.join(path)).unwrap(),
                Some(content) => fs::write(dir.join(path), content).unwrap(),
            }
        }
    }
}
