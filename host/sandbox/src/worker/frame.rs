//! What passes between the gateway and its compiling child, on both ends of two pipes.
//!
//! Both ends are the same binary, so there are no versions, and numbers are in the machine's own order. The
//! gateway reads a header of fixed size and decides from it; it never sizes a buffer by what the child says.

use std::io::{self, Read, Write};

use edgewit_domain::config::Profile;
use edgewit_worker::Confinement;

/// What the child is told before the component's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) profile: Profile,
    /// Address space, in bytes.
    pub(super) memory: u64,
    pub(super) cpu_seconds: u64,
    /// The process that the child must not outlive.
    pub(super) parent: u64,
    /// Length of the component that follows.
    pub(super) bytes: u64,
}

/// What the child says before its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: Status,
    pub(super) confinement: Confinement,
    /// Length of the code or text that follows.
    pub(super) bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Code follows.
    Compiled,
    /// The reason why this component cannot be compiled follows.
    Refused,
    /// Memory ran out.
    Memory,
    /// The reason why nothing can be compiled here follows.
    Failed,
}

const MAGIC: u64 = u64::from_ne_bytes(*b"edgewit\x01");

impl Request {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let profile = match self.profile {
            Profile::Standard => 0,
            Profile::Small => 1,
        };
        put(out, [MAGIC, profile, self.memory, self.cpu_seconds, self.parent, self.bytes])
    }

    pub(super) fn read(input: &mut impl Read) -> io::Result<Request> {
        let [magic, profile, memory, cpu_seconds, parent, bytes] = get(input)?;
        let profile = match profile {
            _ if magic != MAGIC => return Err(io::ErrorKind::InvalidData.into()),
            0 => Profile::Standard,
            1 => Profile::Small,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        Ok(Request { profile, memory, cpu_seconds, parent, bytes })
    }
}

impl Reply {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let status = match self.status {
            Status::Compiled => 0,
            Status::Refused => 1,
            Status::Memory => 2,
            Status::Failed => 3,
        };
        let confinement = match self.confinement {
            Confinement::None => 0,
            Confinement::Partial => 1,
            Confinement::Full => 2,
        };
        put(out, [MAGIC, status, confinement, self.bytes])
    }

    pub(super) fn read(input: &mut impl Read) -> io::Result<Reply> {
        let [magic, status, confinement, bytes] = get(input)?;
        let status = match status {
            _ if magic != MAGIC => return Err(io::ErrorKind::InvalidData.into()),
            0 => Status::Compiled,
            1 => Status::Refused,
            2 => Status::Memory,
            3 => Status::Failed,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        let confinement = match confinement {
            0 => Confinement::None,
            1 => Confinement::Partial,
            2 => Confinement::Full,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        Ok(Reply { status, confinement, bytes })
    }
}

fn put<const N: usize>(out: &mut impl Write, numbers: [u64; N]) -> io::Result<()> {
    numbers.iter().try_for_each(|number| out.write_all(&number.to_ne_bytes()))
}

fn get<const N: usize>(input: &mut impl Read) -> io::Result<[u64; N]> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        let mut bytes = [0; 8];
        input.read_exact(&mut bytes)?;
        *number = u64::from_ne_bytes(bytes);
    }
    Ok(numbers)
}
