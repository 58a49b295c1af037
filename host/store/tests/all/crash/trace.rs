//! What a process does to the files below a directory, as strace saw it, with every byte.
//!
//! Each call is one [`Event`], in the order in which calls ended. A sync covers what had ended before it began.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::WORKLOAD;

#[derive(Clone, Debug)]
pub enum Happened {
    /// Opened. `created` if it may have been made, `emptied` if it was cut to nothing.
    Opened {
        path: PathBuf,
        created: bool,
        emptied: bool,
    },
    Made {
        path: PathBuf,
    },
    Written {
        path: PathBuf,
        at: u64,
        bytes: Vec<u8>,
    },
    Cut {
        path: PathBuf,
        length: u64,
    },
    Synced {
        path: PathBuf,
    },
    Renamed {
        from: PathBuf,
        to: PathBuf,
    },
    Removed {
        path: PathBuf,
    },
    Said(String),
}

#[derive(Clone, Debug)]
pub struct Event {
    pub began: usize,
    pub what: Happened,
}

const CALLS: &str = "openat,open,creat,close,dup,fcntl,lseek,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,\
    fallocate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,copy_file_range,sendfile,msync";

/// Runs the workload and records it. Paths are below `dir`, which the workload is given by its name.
pub fn record(dir: &Path, arguments: &[&str]) -> Vec<Event> {
    let log = tempfile::NamedTempFile::new_in(dir.parent().unwrap()).unwrap();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-xx", "-s", "4000000", "-e", &format!("trace={CALLS}"), "-e", "signal=none", "-o"]);
    strace.arg(log.path()).arg(WORKLOAD).args(arguments);
    let ended = strace.output().expect("strace is there: cargo xtask setup installs it");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let text = fs::read_to_string(log.path()).unwrap();
    let events = Reading { dir: dir.to_path_buf(), ..Reading::default() }.read(&text);
    // Whoever opens what is whole may have nothing to sync.
    let runs = arguments.first() == Some(&"run");
    let seen = |event: &Event| !runs || matches!(event.what, Happened::Synced { .. });
    assert!(events.iter().any(seen), "strace saw nothing: may it trace?");
    events
}

/// What a disturbed workload said, and how it ended.
#[derive(Debug)]
pub struct Disturbed {
    pub said: Vec<String>,
    /// Neither killed for taking too long, nor by a signal, nor panicked.
    pub ended_well: bool,
}

/// Runs the workload with a fault put into its calls, as `strace -e inject` takes it.
pub fn disturbed(fault: &str, arguments: &[&str]) -> Disturbed {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", &format!("inject={fault}")]);
    strace.args(["timeout", "-s", "KILL", "15", WORKLOAD]).args(arguments);
    let ended = strace.output().expect("strace is there: cargo xtask setup installs it");
    let said = String::from_utf8_lossy(&ended.stdout).lines().map(str::to_owned).collect();
    Disturbed { said, ended_well: ended.status.success() }
}

#[derive(Default)]
struct Reading {
    dir: PathBuf,
    files: HashMap<i64, (PathBuf, u64)>,
    unfinished: HashMap<String, (usize, String)>,
    events: Vec<Event>,
}

impl Reading {
    fn read(mut self, text: &str) -> Vec<Event> {
        for line in text.lines() {
            let (pid, rest) = line.split_once(' ').unwrap();
            let rest = rest.trim_start();
            if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
                self.unfinished.insert(pid.into(), (self.events.len(), begun.trim_end().into()));
            } else if rest.starts_with("<... ") {
                let (began, begun) = self.unfinished.remove(pid).unwrap();
                let ended = rest.split_once("resumed>").unwrap().1;
                self.call(began, &format!("{begun}{ended}"));
            } else if rest.contains('(') {
                self.call(self.events.len(), rest);
            }
        }
        self.events
    }

    fn call(&mut self, began: usize, line: &str) {
        let (name, rest) = line.split_once('(').unwrap();
        let (arguments, result) = rest.rsplit_once(" = ").unwrap();
        let result: i64 = result.split_whitespace().next().unwrap().parse().unwrap_or(-1);
        if result < 0 {
            return;
        }
        let arguments: Vec<&str> = arguments.trim_end().trim_end_matches(')').split(", ").collect();
        let number = |at: usize| -> i64 { arguments[at].parse().unwrap() };
        let what = match name {
            "openat" => return self.opened(began, result, &arguments),
            "close" => return drop(self.files.remove(&number(0))),
            "fcntl" if arguments[1].starts_with("F_DUPFD") => return self.duplicated(number(0), result),
            "fcntl" => return,
            "lseek" => return self.seek(number(0), result),
            "write" if number(0) == 1 => Happened::Said(String::from_utf8(unhex(arguments[1])).unwrap()),
            "write" => return self.written(began, number(0), arguments[1]),
            "pwrite64" => {
                self.at(number(0), |path| Happened::Written { path, at: number(3) as u64, bytes: unhex(arguments[1]) })
            }
            "ftruncate" => self.at(number(0), |path| Happened::Cut { path, length: number(1) as u64 }),
            // Only the reserve does, which holds nothing.
            "fallocate" => return,
            "fsync" | "fdatasync" => self.at(number(0), |path| Happened::Synced { path }),
            "rename" => Happened::Renamed { from: path(arguments[0]), to: path(arguments[1]) },
            "unlink" | "rmdir" => Happened::Removed { path: path(arguments[0]) },
            "unlinkat" => Happened::Removed { path: self.below(arguments[0], arguments[1]) },
            "mkdir" => Happened::Made { path: path(arguments[0]) },
            other => panic!("the recording does not know {other}: {line}"),
        };
        self.push(began, what);
    }

    fn push(&mut self, began: usize, what: Happened) {
        let ours = |path: &Path| path.starts_with(&self.dir);
        let kept = match &what {
            Happened::Opened { path, .. } | Happened::Made { path } | Happened::Written { path, .. } => ours(path),
            Happened::Cut { path, .. } | Happened::Synced { path } | Happened::Removed { path } => ours(path),
            Happened::Renamed { to, .. } => ours(to),
            Happened::Said(_) => true,
        };
        if kept {
            self.events.push(Event { began, what });
        }
    }

    fn at(&self, file: i64, what: impl FnOnce(PathBuf) -> Happened) -> Happened {
        what(self.files.get(&file).map_or_else(|| PathBuf::from("elsewhere"), |(path, _)| path.clone()))
    }

    fn below(&self, folder: &str, name: &str) -> PathBuf {
        let base = folder.parse().ok().and_then(|file: i64| self.files.get(&file)).map(|(path, _)| path.clone());
        base.unwrap_or_default().join(path(name))
    }

    fn opened(&mut self, began: usize, file: i64, arguments: &[&str]) {
        let path = self.below(arguments[0], arguments[1]);
        self.files.insert(file, (path.clone(), 0));
        let says = |flag: &str| arguments[2].split('|').any(|word| word == flag);
        assert!(!says("O_APPEND") || !path.starts_with(&self.dir), "the recording does not know O_APPEND");
        if says("O_CREAT") || says("O_TRUNC") {
            self.push(began, Happened::Opened { path, created: says("O_CREAT"), emptied: says("O_TRUNC") });
        }
    }

    fn duplicated(&mut self, file: i64, second: i64) {
        if let Some(entry) = self.files.get(&file).cloned() {
            self.files.insert(second, entry);
        }
    }

    fn seek(&mut self, file: i64, to: i64) {
        if let Some((_, at)) = self.files.get_mut(&file) {
            *at = to as u64;
        }
    }

    fn written(&mut self, began: usize, file: i64, bytes: &str) {
        let bytes = unhex(bytes);
        let Some((path, place)) = self.files.get_mut(&file) else { return };
        let (path, at) = (path.clone(), *place);
        *place += bytes.len() as u64;
        self.push(began, Happened::Written { path, at, bytes });
    }
}

/// strace writes every byte as `\x..` and quotes the whole.
fn unhex(text: &str) -> Vec<u8> {
    assert!(text.ends_with('"'), "strace cut a string short");
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap() as u8;
    text.trim_matches('"').as_bytes().chunks(4).map(|four| digit(four[2]) << 4 | digit(four[3])).collect()
}

fn path(text: &str) -> PathBuf {
    OsString::from_vec(unhex(text)).into()
}
