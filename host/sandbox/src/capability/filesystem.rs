//! `wasi:filesystem/preopens`: the granted directories, each as `/NAME`.
//!
//! They come as handles that were opened when the gateway started. No path from a guest, from the configuration
//! or from anywhere else is resolved here.

use std::collections::BTreeMap;
use std::sync::Arc;

use cap_std::fs::Dir;
use edgewit_domain::grant::Grants;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::filesystem::{self, Descriptor, FsPerms, OpenMode};
use wasmtime_wasi::p2::bindings::filesystem::preopens;

use crate::guest::Guest;

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

/// Shadows `wasi:filesystem/preopens` in a linker that already has it.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> Result<()> {
    preopens::add_to_linker::<Guest, HasPreopens>(linker, |guest| View {
        preopens: &guest.preopens,
        table: &mut guest.table,
    })
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
