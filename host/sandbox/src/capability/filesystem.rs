//! `wasi:filesystem`: the granted directories, each as `/NAME`, and the opening of what lies in them.
//!
//! They come as handles that were opened when the gateway started; a path of a guest is resolved below one of them, and
//! no other path is resolved here. Everything is wasmtime-wasi's, but for opening: that one opens whatever it finds,
//! and a pipe in a granted directory would hold the guest's thread for as long as nobody writes into it, out of
//! reach of every deadline. So only files and directories are opened here, and nothing that is opened is waited for.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use edgewit_domain::grant::Grants;
use rustix::fs::OFlags;
use rustix::io::Errno;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::filesystem::{self, Descriptor, FsPerms, OpenMode};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{DescriptorFlags, ErrorCode, OpenFlags, PathFlags};

use crate::guest::Guest;

/// As wasmtime-wasi names it: under another version this would stand beside what it is to shadow.
const TYPES: &str = "wasi:filesystem/types@0.2.12";

/// The directories of one instance.
pub(crate) struct Preopens(Vec<(filesystem::Dir, String)>);

impl Preopens {
    /// Takes those of `dirs` that a grant names. One that cannot be shared is left out and said.
    pub fn new(grants: &Grants, dirs: &BTreeMap<Arc<str>, Arc<Dir>>) -> Self {
        let granted = grants.dirs().iter().filter_map(|(name, grant)| Some((name, grant.write, dirs.get(name)?)));
        let opened = granted.filter_map(|(name, write, dir)| match dir.try_clone() {
            Ok(dir) => Some((preopen(dir, write), format!("/{name}"))),
            Err(error) => {
                tracing::error!(directory = &**name, %error, "A granted directory cannot be shared with its component");
                None
            }
        });
        Preopens(opened.collect())
    }
}

fn preopen(dir: Dir, write: bool) -> filesystem::Dir {
    let (perms, mode) = match write {
        true => (FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE),
        false => (FsPerms::ReadOnly, OpenMode::READ),
    };
    filesystem::Dir::new(dir.into_std_file(), perms, mode, true)
}

/// Shadows `wasi:filesystem/preopens`, and of `wasi:filesystem/types` the function that opens, in a linker that
/// already has them.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> Result<()> {
    preopens::add_to_linker::<Guest, HasPreopens>(linker, |guest| View {
        preopens: &guest.preopens,
        table: &mut guest.table,
    })?;
    type OpenAt = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);
    linker.instance(TYPES)?.func_wrap(
        "[method]descriptor.open-at",
        |mut store: StoreContextMut<'_, Guest>, (from, how, path, open_flags, flags): OpenAt| {
            let table = &mut store.data_mut().table;
            let opened = match table.get(&from)? {
                Descriptor::Dir(dir) => open_at(dir, how, &path, open_flags, flags),
                Descriptor::File(_) => Err(ErrorCode::NotDirectory),
            };
            Ok((match opened {
                Ok(opened) => Ok(table.push(opened)?),
                Err(error) => Err(error),
            },))
        },
    )
}

fn open_at(
    dir: &filesystem::Dir,
    how: PathFlags,
    path: &str,
    open_flags: OpenFlags,
    flags: DescriptorFlags,
) -> Result<Descriptor, ErrorCode> {
    let makes = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE;
    let synchronous = DescriptorFlags::FILE_INTEGRITY_SYNC
        | DescriptorFlags::DATA_INTEGRITY_SYNC
        | DescriptorFlags::REQUESTED_WRITE_SYNC;
    if flags.intersects(synchronous) {
        return Err(ErrorCode::Unsupported);
    }
    if open_flags.contains(OpenFlags::DIRECTORY) && open_flags.intersects(makes) {
        return Err(ErrorCode::Invalid);
    }
    let create = open_flags.contains(OpenFlags::CREATE);
    let truncate = open_flags.contains(OpenFlags::TRUNCATE);
    let write = create || truncate || flags.contains(DescriptorFlags::WRITE);
    let read = flags.contains(DescriptorFlags::READ) || !flags.contains(DescriptorFlags::WRITE);
    if write && dir.perms.write_not_permitted() {
        return Err(ErrorCode::NotPermitted);
    }
    let follow = if how.contains(PathFlags::SYMLINK_FOLLOW) { OFlags::empty() } else { OFlags::NOFOLLOW };
    let mut options = OpenOptions::new();
    options.read(read).write(write).truncate(truncate).custom_flags((OFlags::NONBLOCK | follow).bits().cast_signed());
    match open_flags.contains(OpenFlags::EXCLUSIVE) {
        true => options.create_new(create),
        false => options.create(create),
    };
    let mut mode = OpenMode::empty();
    mode.set(OpenMode::READ, read);
    mode.set(OpenMode::WRITE, write);

    let (file, kind) = open(dir, path, &options)?;
    match (kind.is_dir(), kind.is_file()) {
        (true, _) => Ok(Descriptor::Dir(filesystem::Dir::new(file, dir.perms, mode, true))),
        (false, true) if open_flags.contains(OpenFlags::DIRECTORY) => Err(ErrorCode::NotDirectory),
        (false, true) => Ok(Descriptor::File(filesystem::File::new(file, dir.perms, mode, true))),
        (false, false) => Err(ErrorCode::NotPermitted),
    }
}

fn open(
    dir: &filesystem::Dir,
    path: &str,
    options: &OpenOptions,
) -> Result<(std::fs::File, std::fs::FileType), ErrorCode> {
    let opened = dir.dir.try_clone().and_then(|dir| Dir::from_std_file(dir).open_with(path, options));
    let file = opened.map_err(|error| explain(&error))?.into_std();
    let kind = file.metadata().map_err(|error| explain(&error))?.file_type();
    Ok((file, kind))
}

fn explain(error: &io::Error) -> ErrorCode {
    match Errno::from_io_error(error) {
        // A socket, a device that is not there, or a pipe that nobody reads.
        Some(Errno::NXIO) => ErrorCode::NotPermitted,
        _ => wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode::from(error).into(),
    }
}

struct HasPreopens;

impl HasData for HasPreopens {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    preopens: &'a Preopens,
    table: &'a mut ResourceTable,
}

impl preopens::Host for View<'_> {
    fn get_directories(&mut self) -> Result<Vec<(Resource<Descriptor>, String)>> {
        let directories = self.preopens.0.iter();
        directories.map(|(dir, name)| Ok((self.table.push(Descriptor::Dir(dir.clone()))?, name.clone()))).collect()
    }
}
