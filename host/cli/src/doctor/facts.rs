//! What there is to know about this machine. Looks and never judges; what cannot be found out is `None`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::process::{Resource, getrlimit};

use super::syscall;

/// The state of a machine, as far as edgewit depends on it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// As `uname -r` gives it.
    pub kernel: String,
    /// As `uname -m` gives it.
    pub architecture: String,
    /// The flags of the first processor.
    pub cpu_features: Vec<String>,
    pub cores: usize,
    /// Bytes of memory of the machine, and what the control group allows of it.
    pub memory: Option<u64>,
    pub memory_limit: Option<u64>,
    /// Bytes of address space that this process may have; `None` is no limit.
    pub address_space_limit: Option<u64>,
    /// Bits of an address of a process.
    pub address_bits: Option<u32>,
    pub file_descriptors: Option<u64>,
    pub unix_seconds: u64,
    pub clock_synchronised: Option<bool>,
    /// 0 where the kernel has no Landlock.
    pub landlock: u32,
    pub data: Data,
}

/// The place of the data directory.
#[derive(Clone, Debug)]
pub struct Data {
    /// The directory that was examined: the data directory, or the nearest one above it that exists.
    pub directory: PathBuf,
    /// The number of the kind of file system.
    pub kind: Option<u64>,
    pub free: Option<u64>,
    /// Whether a file could be written, synced and renamed there; the error if not.
    pub durable_write: Result<(), String>,
}

pub fn gather(data: &Path) -> Facts {
    let uname = rustix::system::uname();
    Facts {
        kernel: uname.release().to_string_lossy().into_owned(),
        architecture: uname.machine().to_string_lossy().into_owned(),
        cpu_features: cpu_features(&read("/proc/cpuinfo")),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory: memory(&read("/proc/meminfo")),
        memory_limit: memory_limit(),
        address_space_limit: getrlimit(Resource::As).current,
        address_bits: address_bits(&read("/proc/self/maps")),
        file_descriptors: getrlimit(Resource::Nofile).current,
        unix_seconds: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs()),
        clock_synchronised: syscall::clock_is_synchronised(),
        landlock: syscall::landlock_version(),
        data: examine(data),
    }
}

/// Pseudo-files that are not there read as empty, and what they would say is then not known.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn cpu_features(cpuinfo: &str) -> Vec<String> {
    let flags = cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        matches!(key.trim(), "flags" | "Features").then_some(value)
    });
    flags.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The smallest limit on the way up from this process's control group, in either version of control groups.
fn memory_limit() -> Option<u64> {
    let groups = read("/proc/self/cgroup");
    let limit = |file: PathBuf| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let limits = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return Vec::new(),
        };
        let group = Path::new(path.trim_start_matches('/'));
        group.ancestors().filter_map(|group| limit(Path::new(root).join(group).join(name))).collect()
    });
    limits.min()
}

/// A process's stack lies at the upper end of its address space, so the highest mapping tells how long an address is.
fn address_bits(maps: &str) -> Option<u32> {
    let user = maps.lines().filter(|line| !line.ends_with("[vsyscall]"));
    let ends = user.filter_map(|line| {
        let (_, end) = line.split_whitespace().next()?.split_once('-')?;
        u64::from_str_radix(end, 16).ok()
    });
    ends.max().map(|end| u64::BITS - end.saturating_sub(1).leading_zeros())
}

fn examine(data: &Path) -> Data {
    let absolute = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    let directory = absolute.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/")).to_owned();
    let stat = rustix::fs::statfs(&directory).ok();
    Data {
        kind: stat.as_ref().and_then(|stat| u64::try_from(stat.f_type).ok()),
        free: stat.as_ref().and_then(|stat| Some(stat.f_bavail * u64::try_from(stat.f_bsize).ok()?)),
        durable_write: durable_write(&directory).map_err(|error| error.to_string()),
        directory,
    }
}

/// Does once what the store does all day: write, sync, rename, sync the directory.
fn durable_write(directory: &Path) -> io::Result<()> {
    let name = format!(".edgewit-doctor-{}", std::process::id());
    let (first, second) = (directory.join(&name), directory.join(name + "-renamed"));
    let done = (|| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&first)?;
        file.write_all(b"edgewit doctor")?;
        file.sync_all()?;
        fs::rename(&first, &second)?;
        fs::File::open(directory)?.sync_all()
    })();
    for left in [first, second] {
        // One of the two is not there; which one depends on how far it came.
        let _ = fs::remove_file(left);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudo_files_are_read_as_the_kernel_writes_them() {
        let x86 = "processor\t: 0\nflags\t\t: fpu sse4_1 avx\naddress sizes\t: 46 bits physical, 48 bits virtual\n";
        assert_eq!(cpu_features(x86), ["fpu", "sse4_1", "avx"]);
        assert_eq!(cpu_features("processor : 0\nFeatures\t: fp asimd atomics\n"), ["fp", "asimd", "atomics"]);
        assert_eq!(memory("MemTotal:       16303428 kB\nMemFree: 1 kB\n"), Some(16_303_428 * 1024));
        assert_eq!((memory(""), cpu_features("").len()), (None, 0));
    }

    #[test]
    fn the_stack_tells_how_long_an_address_is() {
        let row = |end: &str, name: &str| format!("1000-2000 r-xp 0 0:0 0\n7000-{end} rw-p 0 0:0 0 {name}\n");
        assert_eq!(address_bits(&row("7ffd3c1f6000", "[stack]")), Some(47));
        assert_eq!(address_bits(&row("7fd3c1f000", "[stack]")), Some(39));
        assert_eq!(address_bits(&row("ffffffffff601000", "[vsyscall]")), Some(13));
        assert_eq!(address_bits(""), None);
    }

    #[test]
    fn a_machine_is_examined_and_left_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let facts = gather(&place.path().join("not/yet"));
        assert_eq!(facts.data.durable_write, Ok(()));
        assert_eq!(facts.data.directory, place.path());
        assert!(facts.data.free.is_some() && facts.memory.is_some() && facts.address_bits.is_some());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_place_that_cannot_be_written_says_why() {
        assert!(durable_write(Path::new("/proc")).is_err());
    }
}
