//! Every row of a store in one file, and back: for backups, for moving between engines and between format versions.
//!
//! ```text
//! "edgewit export 1\n"
//! frames, each: length of the body (u32), CRC32C of the body (u32), body. Numbers are little-endian.
//!   body 'r' length of the key (u32), key, value      a row, in the order of the keys; none that stays
//!   body 'e' rows (u64)                               the end; nothing follows
//! ```
//!
//! A file is whole or refused: nothing of a torn, truncated or flipped one becomes a store. It is written under another
//! name and gets its own when it is on disk, and so does the store that an import makes. An import has an epoch of its own,
//! so that the far side of an uplink does not take the numbers of two lives for one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::batch::Batch;
use crate::disk::{self, Disk, IfAbsent, OpenError};
use crate::engine::{CommitError, Engine, EngineError};
use crate::format::key::DIGESTS;
use crate::header::{HEADER_KEY, Kind};

const TITLE: &[u8] = b"edgewit export 1\n";
const ROW: u8 = b'r';
const END: u8 = b'e';
/// The longest frame that is read. A row is far shorter.
const FRAME_BYTES: u32 = 64 << 20;
/// Bytes that are committed at once, and rows between two reports.
const BATCH_BYTES: usize = 1 << 20;
const REPORT_ROWS: u64 = 1000;
/// Behind every key there is.
const BEHIND: [u8; 64] = [0xff; 64];

/// Is told how many rows are done.
pub type Report<'a> = dyn FnMut(u64) + 'a;

#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error("{step} failed")]
    Io {
        step: &'static str,
        #[source]
        source: io::Error,
    },
    #[error(
        "the file is not an export of edgewit, or of a newer one. Name the file that `edgewit store export` wrote, or use the edgewit that wrote it"
    )]
    Foreign,
    #[error("the export is damaged or cut short after {rows} rows, and nothing was imported. Use another copy of it")]
    Damaged { rows: u64 },
    #[error("there is a store in the directory already. Import into an empty directory, or move the store away")]
    Occupied,
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("reading the store failed. What it says is damaged is not exported: see `edgewit store check`")]
    Read(#[from] EngineError),
    #[error("writing the store failed")]
    Write(#[from] CommitError),
}

/// Whether a row belongs to one store on one machine: the header, and what vouches for the code compiled there.
fn stays(key: &[u8]) -> bool {
    key == HEADER_KEY || key.first() == Some(&DIGESTS)
}

/// Writes all rows of a store that nobody has open. Returns how many.
pub fn export(store: &Path, kind: Kind, file: &Path, report: &mut Report<'_>) -> Result<u64, TransferError> {
    let disk = Disk::look(store, kind)?;
    let temporary = beside(file);
    let exported = export_to(&disk, &temporary, file, report);
    if exported.is_err() {
        // It was told already that there is no export.
        let _ = fs::remove_file(&temporary);
    }
    exported
}

fn export_to(disk: &Disk, temporary: &Path, file: &Path, report: &mut Report<'_>) -> Result<u64, TransferError> {
    let step = "writing the export";
    let mut options = OpenOptions::new();
    let target = options.write(true).create(true).truncate(true).mode(0o600).open(temporary).map_err(io(step))?;
    let mut out = BufWriter::new(target);
    let rows = write_all(disk.engine().as_ref(), &mut out, report)?;
    let target = out.into_inner().map_err(|error| io(step)(error.into_error()))?;
    target.sync_all().and_then(|()| fs::rename(temporary, file)).map_err(io(step))?;
    sync_folder(file).map_err(io(step))?;
    Ok(rows)
}

fn write_all(engine: &dyn Engine, out: &mut impl Write, report: &mut Report<'_>) -> Result<u64, TransferError> {
    let step = "writing the export";
    out.write_all(TITLE).map_err(io(step))?;
    let (mut rows, mut failed, mut body) = (0u64, None, Vec::new());
    engine.scan(&[], &BEHIND, &mut |key, value| {
        if stays(key) {
            return ControlFlow::Continue(());
        }
        body.clear();
        body.push(ROW);
        body.extend(u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
        body.extend_from_slice(key);
        body.extend_from_slice(value);
        if let Err(error) = frame(out, &body) {
            failed = Some(error);
            return ControlFlow::Break(());
        }
        rows += 1;
        if rows.is_multiple_of(REPORT_ROWS) {
            report(rows);
        }
        ControlFlow::Continue(())
    })?;
    if let Some(error) = failed {
        return Err(io(step)(error));
    }
    let end = [&[END][..], &rows.to_le_bytes()].concat();
    frame(out, &end).and_then(|()| out.flush()).map_err(io(step))?;
    report(rows);
    Ok(rows)
}

fn frame(out: &mut impl Write, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= FRAME_BYTES);
    out.write_all(&length.ok_or(io::ErrorKind::InvalidData)?.to_le_bytes())?;
    out.write_all(&crc32c::crc32c(body).to_le_bytes())?;
    out.write_all(body)
}

/// Makes a store of an export in a directory that has none. Returns the number of rows.
pub fn import(file: &Path, store: &Path, kind: Kind, report: &mut Report<'_>) -> Result<u64, TransferError> {
    if disk::found(store)?.is_some() {
        return Err(TransferError::Occupied);
    }
    let step = "making the store";
    let temporary = store.join("import");
    match fs::remove_dir_all(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(step)(error)),
        _ => {}
    }
    fs::create_dir(&temporary).map_err(io(step))?;
    let imported = fill(file, &temporary, kind, report);
    let moved = imported.and_then(|rows| {
        disk::move_store(&temporary, store, kind).map_err(io(step))?;
        Ok(rows)
    });
    fs::remove_dir_all(&temporary).map_err(io(step))?;
    moved
}

fn fill(file: &Path, folder: &Path, kind: Kind, report: &mut Report<'_>) -> Result<u64, TransferError> {
    let mut source = BufReader::new(File::open(file).map_err(io("opening the export"))?);
    let mut title = [0; TITLE.len()];
    source.read_exact(&mut title).map_err(|_| TransferError::Foreign)?;
    if title != TITLE {
        return Err(TransferError::Foreign);
    }
    let (disk, _) = Disk::open(folder, kind, IfAbsent::Create)?;
    let engine = disk.engine();
    let (mut batch, mut rows) = (Batch::new(), 0u64);
    loop {
        let damaged = || TransferError::Damaged { rows };
        let body = next(&mut source)?.ok_or_else(damaged)?;
        match body.split_first().ok_or_else(damaged)? {
            (&ROW, rest) => {
                let (key, value) = row(rest).filter(|(key, _)| !stays(key)).ok_or_else(damaged)?;
                batch.put(key, value);
                rows += 1;
            }
            (&END, rest) if rest == rows.to_le_bytes() => break,
            _ => return Err(damaged()),
        }
        if batch.bytes() >= BATCH_BYTES {
            engine.commit(&batch)?;
            batch.clear();
        }
        if rows.is_multiple_of(REPORT_ROWS) {
            report(rows);
        }
    }
    let mut rest = [0; 1];
    if source.read(&mut rest).map_err(io("reading the export"))? != 0 {
        return Err(TransferError::Damaged { rows });
    }
    engine.commit(&batch)?;
    report(rows);
    drop(engine);
    disk.close()?;
    Ok(rows)
}

/// The next frame's body, or `None` where it is not whole.
fn next(source: &mut impl Read) -> Result<Option<Vec<u8>>, TransferError> {
    let mut head = [0; 8];
    if !read_all(source, &mut head)? {
        return Ok(None);
    }
    let (length, sum) = head.split_at(4);
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes);
    if number(length) > FRAME_BYTES {
        return Ok(None);
    }
    // Not all at once: the length may be what is damaged.
    let mut body = Vec::new();
    source.take(u64::from(number(length))).read_to_end(&mut body).map_err(io("reading the export"))?;
    Ok((body.len() as u64 == u64::from(number(length)) && crc32c::crc32c(&body) == number(sum)).then_some(body))
}

fn read_all(source: &mut impl Read, buffer: &mut [u8]) -> Result<bool, TransferError> {
    match source.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(io("reading the export")(error)),
    }
}

fn row(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

fn beside(file: &Path) -> std::path::PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn io(step: &'static str) -> impl Fn(io::Error) -> TransferError {
    move |source| TransferError::Io { step, source }
}
