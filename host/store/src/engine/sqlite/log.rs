//! A look at the write-ahead log before SQLite reads it, which takes damage in the middle for the end.
//!
//! SQLite ends its reading at the first frame whose checksum is wrong: that is how it forgets a commit which the power
//! cut through. But only the last commit can be cut through, because each is synced before the next one begins. A
//! sound frame of a later commit behind a bad one therefore means that acknowledged changes were damaged, and opening
//! would drop them without a word. It never repairs and never judges the end of the log: that is SQLite's.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read as _};
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The log's first bytes; the last bit says that checksums are computed over big-endian words.
const MAGIC: u32 = 0x377f_0682;

/// What a log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    /// Or empty.
    Absent,
    Sound,
    /// At this frame, in what the disk had confirmed.
    Damaged {
        frame: u64,
    },
}

type Sums = (u32, u32);

pub(super) fn look(path: &Path) -> io::Result<Log> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Log::Absent),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let mut log = BufReader::with_capacity(64 << 10, file);
    let mut header = [0; HEADER];
    if length < HEADER as u64 {
        return Ok(Log::Absent);
    }
    log.read_exact(&mut header)?;
    let big = word(&header, 0) & 1 == 1;
    let sums = checksum((0, 0), header.get(..24).unwrap_or_default(), big);
    if word(&header, 0) & !1 != MAGIC || sums != (word(&header, 24), word(&header, 28)) {
        // It is synced before the first frame is written.
        return Ok(if length > HEADER as u64 { Log::Damaged { frame: 0 } } else { Log::Sound });
    }
    frames(&mut log, &header, sums, big)
}

fn frames(log: &mut impl io::Read, header: &[u8; HEADER], mut sums: Sums, big: bool) -> io::Result<Log> {
    let page = usize::try_from(word(header, 8)).unwrap_or(usize::MAX).min(65536);
    let salts = (word(header, 16), word(header, 20));
    let mut frame = vec![0; FRAME_HEADER + page];
    let mut bad: Option<u64> = None;
    let mut commit_over = false;
    let mut number = 0;
    loop {
        match log.read_exact(&mut frame) {
            Ok(()) => number += 1,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(Log::Sound),
            Err(error) => return Err(error),
        }
        let ours = (word(&frame, 8), word(&frame, 12)) == salts;
        let own = checksum(sums, frame.get(..8).unwrap_or_default(), big);
        let own = checksum(own, frame.get(FRAME_HEADER..).unwrap_or_default(), big);
        let stated = (word(&frame, 16), word(&frame, 20));
        let sound = ours && own == stated;
        match bad {
            None if !sound => bad = Some(number),
            Some(first) if sound && commit_over => return Ok(Log::Damaged { frame: first }),
            _ => {}
        }
        // Behind the bad frame a commit ends where a frame says so: what comes then is a later one.
        let ends = word(&frame, 4) != 0;
        commit_over |= bad.is_some() && ours && ends && (sound || bad == Some(number));
        // A frame's checksum goes on from the one before it as that one states it.
        sums = stated;
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_be_bytes(*word))
}

fn checksum((mut one, mut two): Sums, bytes: &[u8], big: bool) -> Sums {
    let (pairs, _) = bytes.as_chunks::<8>();
    for &[a, b, c, d, e, f, g, h] in pairs {
        let (left, right) = ([a, b, c, d], [e, f, g, h]);
        let words = if big {
            (u32::from_be_bytes(left), u32::from_be_bytes(right))
        } else {
            (u32::from_le_bytes(left), u32::from_le_bytes(right))
        };
        one = one.wrapping_add(words.0).wrapping_add(two);
        two = two.wrapping_add(words.1).wrapping_add(one);
    }
    (one, two)
}
