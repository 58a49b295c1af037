//! What the state of a machine means for edgewit: facts in, findings out, and nothing else.
//!
//! `fail` is kept for what keeps edgewit from running or from keeping its promises; a drawback is a `warn`.

use edgewit_domain::limits::MIB;
use serde::Serialize;

use super::facts::{Data, Facts};
use crate::units;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Ok,
    Warn,
    Fail,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        }
    }
}

/// One line of the examination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub verdict: Verdict,
    pub found: String,
    /// What to do about it; empty where all is well.
    pub cure: String,
}

/// Every check, in the order of the listing.
pub fn all(facts: &Facts) -> Vec<Finding> {
    vec![
        kernel(facts),
        architecture(facts),
        cores(facts),
        memory(facts),
        address_space(facts),
        file_descriptors(facts),
        clock_year(facts),
        clock_source(facts),
        landlock(facts),
        file_system(&facts.data),
        durable_write(&facts.data),
        free_space(&facts.data),
    ]
}

fn finding(check: &'static str, found: impl Into<String>, (verdict, cure): (Verdict, &str)) -> Finding {
    Finding { check, verdict, found: found.into(), cure: cure.to_owned() }
}

const FINE: (Verdict, &str) = (Verdict::Ok, "");

fn kernel(facts: &Facts) -> Finding {
    let judged = match kernel_version(&facts.kernel) {
        Some(version) if version < (4, 14) => (Verdict::Fail, "install Linux 4.14 or newer"),
        Some(version) if version < (5, 13) => {
            (Verdict::Warn, "from Linux 5.13 the process can also wall itself in, by Landlock")
        }
        Some(_) => FINE,
        None => (Verdict::Warn, "edgewit is made for Linux 4.14 and newer"),
    };
    finding("kernel", format!("Linux {}", facts.kernel), judged)
}

fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn architecture(facts: &Facts) -> Finding {
    let has = |feature: &str| facts.cpu_features.iter().any(|known| known == feature);
    let judged = match facts.architecture.as_str() {
        "x86_64" if has("sse4_1") && has("ssse3") => FINE,
        "x86_64" => (Verdict::Warn, "without SSE4.1 components that use vectors run slowly"),
        "aarch64" => FINE,
        _ => (Verdict::Fail, "use a 64-bit x86 or ARM machine with a 64-bit system"),
    };
    finding("processor", facts.architecture.clone(), judged)
}

fn cores(facts: &Facts) -> Finding {
    let judged = match facts.cores {
        0 | 1 => (Verdict::Warn, "a component that computes delays the others; with two cores much less"),
        _ => FINE,
    };
    finding("cores", format!("{} to use", facts.cores), judged)
}

fn memory(facts: &Facts) -> Finding {
    let Some(machine) = facts.memory else {
        return finding("memory", "unknown", (Verdict::Warn, "mount /proc"));
    };
    let usable = facts.memory_limit.map_or(machine, |limit| limit.min(machine));
    let judged = match usable / MIB {
        // A machine sold with 64 MB keeps a part for its kernel.
        0..48 => (Verdict::Fail, "a machine or control group with 64 MB of memory is the least"),
        48..450 => (Verdict::Warn, "write `profile = \"small\"` under [gateway]"),
        _ => FINE,
    };
    let by = if usable < machine { " by the control group" } else { "" };
    finding("memory", format!("{}{by}", units::bytes(usable)), judged)
}

fn address_space(facts: &Facts) -> Finding {
    const CHECK: &str = "address space";
    let bits = facts.address_bits;
    if let Some(limit) = facts.address_space_limit {
        let judged = match limit / MIB {
            0..1024 => (Verdict::Fail, "raise it: `ulimit -v unlimited`, or LimitAS=infinity in the service"),
            1024..4096 => (
                Verdict::Warn,
                "enough for a few components; `ulimit -v unlimited`, or LimitAS=infinity in the service",
            ),
            _ => FINE,
        };
        return finding(CHECK, format!("limited to {}", units::bytes(limit)), judged);
    }
    let judged = match bits {
        Some(0..=32) => (Verdict::Fail, "use a 64-bit system"),
        Some(33..=38) => (Verdict::Warn, "use a kernel with addresses of 39 bits or more"),
        Some(_) => FINE,
        None => (Verdict::Warn, "mount /proc"),
    };
    let found = bits.map_or("unknown".to_owned(), |bits| format!("{bits} bits, no limit"));
    finding(CHECK, found, judged)
}

fn file_descriptors(facts: &Facts) -> Finding {
    let judged = match facts.file_descriptors {
        Some(0..128) => (Verdict::Fail, "`ulimit -n 4096`, or LimitNOFILE=4096 in the service"),
        Some(128..1024) => (Verdict::Warn, "`ulimit -n 4096`, or LimitNOFILE=4096 in the service"),
        _ => FINE,
    };
    let found =
        facts.file_descriptors.map_or("no limit".to_owned(), |limit| format!("{} at once", units::count(limit)));
    finding("open files", found, judged)
}

fn clock_year(facts: &Facts) -> Finding {
    const OLDEST_YEAR: u64 = 2025;
    const SECONDS_A_YEAR: u64 = 31_556_952;
    let year = 1970 + facts.unix_seconds / SECONDS_A_YEAR;
    let judged = match year {
        0..OLDEST_YEAR => (Verdict::Fail, "set it: no certificate is valid yet at this date"),
        OLDEST_YEAR..2100 => FINE,
        _ => (Verdict::Fail, "set it: no certificate is still valid at this date"),
    };
    finding("clock", format!("shows the year {year}"), judged)
}

fn clock_source(facts: &Facts) -> Finding {
    let (found, judged) = match facts.clock_synchronised {
        Some(true) => ("kept right", FINE),
        Some(false) => ("nothing keeps the clock right", (Verdict::Warn, "run chrony or systemd-timesyncd")),
        None => ("the kernel does not say", (Verdict::Warn, "allow adjtimex, or keep the clock right from outside")),
    };
    finding("clock source", found, judged)
}

fn landlock(facts: &Facts) -> Finding {
    let judged = match facts.landlock {
        0 => (Verdict::Warn, "boot with `lsm=landlock,…`: without it one wall fewer stands around native code"),
        _ => FINE,
    };
    let found = if facts.landlock == 0 { "not offered".to_owned() } else { format!("version {}", facts.landlock) };
    finding("Landlock", found, judged)
}

fn file_system(data: &Data) -> Finding {
    let memory = (Verdict::Warn, "it is memory: all is gone after a restart; choose another `gateway.data`");
    let network = (Verdict::Fail, "a store on a network can break; choose a local `gateway.data`");
    let (name, judged) = match data.kind {
        Some(0x0102_1994) => ("tmpfs", memory),
        Some(0x8584_58f6) => ("ramfs", memory),
        Some(0x794c_7630) => ("overlay", (Verdict::Warn, "mount a volume: a container's own layer is gone with it")),
        Some(0x6969) => ("nfs", network),
        Some(0xff53_4d42 | 0xfe53_4d42 | 0x517b) => ("smb", network),
        Some(0x0102_1997) => ("9p", network),
        Some(0x4d44) => ("vfat", (Verdict::Warn, "a power cut can break vfat; choose ext4, btrfs, xfs or f2fs")),
        Some(0xef53) => ("ext4", FINE),
        Some(0x9123_683e) => ("btrfs", FINE),
        Some(0x5846_5342) => ("xfs", FINE),
        Some(0xf2f5_2010) => ("f2fs", FINE),
        Some(_) => ("of an unusual kind", FINE),
        None => ("unknown", (Verdict::Warn, "the directory cannot be examined; name it with --data")),
    };
    finding("file system", format!("{name}, {}", data.directory.display()), judged)
}

fn durable_write(data: &Data) -> Finding {
    let (found, judged) = match &data.durable_write {
        Ok(()) => ("works".to_owned(), FINE),
        Err(error) => (error.clone(), (Verdict::Fail, "choose a `gateway.data` that edgewit's user may write to")),
    };
    finding("write and sync", found, judged)
}

fn free_space(data: &Data) -> Finding {
    let Some(free) = data.free else {
        return finding(
            "free space",
            "unknown",
            (Verdict::Warn, "the directory cannot be examined; name it with --data"),
        );
    };
    let judged = match free / MIB {
        0..32 => (Verdict::Fail, "make room: compiled components and queues need some"),
        32..256 => (Verdict::Warn, "make room, or keep queues small"),
        _ => FINE,
    };
    finding("free space", units::bytes(free), judged)
}

#[cfg(test)]
mod tests;
