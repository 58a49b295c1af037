//! The row that says what a store is: its format, who may read it, its epoch, and how it was left.
//!
//! ```text
//! "EWST"  then fields, each: tag (u8), length (u8), bytes. Numbers are little-endian.
//!   1 format (u16)   2 min_reader (u16)   3 epoch (u64)   4 clean (u8)   5 engine (text)
//! ```
//!
//! `format` says how the rest is written, `min_reader` the oldest format that a reader has to know to read it. A
//! reader keeps fields that it does not know. The header never holds what changes while the gateway runs.

use std::fmt;

/// The header's key. No other row's key may be a beginning of it or begin with it.
pub const HEADER_KEY: &[u8] = b"h";

/// The format that is written, and the newest that is read.
pub const FORMAT: u16 = 1;
/// What is written as `min_reader`.
const MIN_READER: u16 = 1;

const TITLE: &[u8; 4] = b"EWST";
const TAG_FORMAT: u8 = 1;
const TAG_MIN_READER: u8 = 2;
const TAG_EPOCH: u8 = 3;
const TAG_CLEAN: u8 = 4;
const TAG_ENGINE: u8 = 5;

/// Which engine keeps a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Sqlite,
    Sled,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Sqlite, Kind::Sled];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Sqlite => "sqlite",
            Kind::Sled => "sled",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Random for each creation and each import, so that the far side of an uplink can tell two lives apart.
    pub epoch: u64,
    /// Whether the last process to have it open closed it.
    pub clean: bool,
    pub engine: Kind,
    pub format: u16,
    /// Fields of a newer writer, as they were.
    rest: Vec<u8>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HeaderError {
    #[error(
        "the store is written in format {format}, which readers before format {min_reader} cannot read, and this edgewit reads up to {FORMAT}. Run the newer edgewit that wrote it, or import an export of it"
    )]
    Newer { format: u16, min_reader: u16 },
    #[error(
        "the header of the store is not one of edgewit's. Put back a copy, or import an export; to start empty, move the store away"
    )]
    Foreign,
    #[error(
        "the store says that it is kept by {found:?}, and it was opened with {opened}. Set store.engine to what it says"
    )]
    OtherEngine { found: String, opened: Kind },
}

impl Header {
    pub fn new(epoch: u64, engine: Kind) -> Header {
        Header { epoch, clean: false, engine, format: FORMAT, rest: Vec::new() }
    }

    /// As it stands on disk while somebody has the store open, and after it was closed.
    pub fn left(self, clean: bool) -> Header {
        Header { clean, ..self }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = TITLE.to_vec();
        let mut field = |tag: u8, value: &[u8]| {
            bytes.extend([tag, u8::try_from(value.len()).unwrap_or(u8::MAX)]);
            bytes.extend_from_slice(value);
        };
        field(TAG_FORMAT, &self.format.to_le_bytes());
        field(TAG_MIN_READER, &MIN_READER.to_le_bytes());
        field(TAG_EPOCH, &self.epoch.to_le_bytes());
        field(TAG_CLEAN, &[u8::from(self.clean)]);
        field(TAG_ENGINE, self.engine.name().as_bytes());
        bytes.extend_from_slice(&self.rest);
        bytes
    }

    /// What an engine's header row says, opened with that engine.
    pub fn decode(bytes: &[u8], opened: Kind) -> Result<Header, HeaderError> {
        let mut fields = bytes.strip_prefix(TITLE).ok_or(HeaderError::Foreign)?;
        let mut header = Header { clean: false, ..Header::new(0, opened) };
        let (mut format, mut min_reader, mut epoch, mut clean, mut engine) = (None, None, None, None, None);
        while let Some((&tag, tail)) = fields.split_first() {
            let (&length, tail) = tail.split_first().ok_or(HeaderError::Foreign)?;
            let (value, tail) = tail.split_at_checked(length.into()).ok_or(HeaderError::Foreign)?;
            match tag {
                TAG_FORMAT => format = value.try_into().ok().map(u16::from_le_bytes),
                TAG_MIN_READER => min_reader = value.try_into().ok().map(u16::from_le_bytes),
                TAG_EPOCH => epoch = value.try_into().ok().map(u64::from_le_bytes),
                TAG_CLEAN => clean = value.first().map(|&byte| byte == 1),
                TAG_ENGINE => engine = str::from_utf8(value).ok(),
                _ => {
                    header.rest.extend([tag, length]);
                    header.rest.extend_from_slice(value);
                }
            }
            fields = tail;
        }
        let (format, min_reader) = format.zip(min_reader).ok_or(HeaderError::Foreign)?;
        if min_reader > FORMAT {
            return Err(HeaderError::Newer { format, min_reader });
        }
        let engine = engine.ok_or(HeaderError::Foreign)?;
        if engine != opened.name() {
            return Err(HeaderError::OtherEngine { found: engine.into(), opened });
        }
        let (epoch, clean) = epoch.zip(clean).ok_or(HeaderError::Foreign)?;
        Ok(Header { epoch, clean, format, ..header })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &[u8] =
        b"EWST\x01\x02\x01\x00\x02\x02\x01\x00\x03\x08\xef\xcd\xab\x89\x67\x45\x23\x01\x04\x01\x01\x05\x06sqlite";

    fn golden() -> Header {
        Header { clean: true, ..Header::new(0x0123_4567_89ab_cdef, Kind::Sqlite) }
    }

    #[test]
    fn the_header_on_disk_stays_what_it_is() {
        assert_eq!(golden().encode(), GOLDEN);
        assert_eq!(Header::decode(GOLDEN, Kind::Sqlite), Ok(golden()));
    }

    #[test]
    fn a_newer_format_is_read_as_long_as_it_permits_it_and_keeps_its_fields() {
        let mut newer = GOLDEN.to_vec();
        newer[6] = 9;
        newer.extend(b"\x63\x02hi");
        let header = Header::decode(&newer, Kind::Sqlite).unwrap();
        assert_eq!((header.format, header.epoch, header.encode()), (9, golden().epoch, newer.clone()));
        newer[10] = 2;
        assert_eq!(Header::decode(&newer, Kind::Sqlite), Err(HeaderError::Newer { format: 9, min_reader: 2 }));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let other = HeaderError::OtherEngine { found: "sqlite".into(), opened: Kind::Sled };
        assert_eq!(Header::decode(GOLDEN, Kind::Sled), Err(other));
        for length in 0..GOLDEN.len() {
            assert!(Header::decode(&GOLDEN[..length], Kind::Sqlite).is_err(), "{length}");
        }
        assert_eq!(Header::decode(b"JPEG", Kind::Sqlite), Err(HeaderError::Foreign));
    }
}
