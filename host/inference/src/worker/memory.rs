//! The memory that both sides have: a file without a name that holds the model first and tensors afterwards.
//!
//! It is read and written by calls and never mapped. One more copy of the inputs costs a hundredth of what is computed with
//! them, and buys that nobody's memory changes under them and that no signal comes of a file that has become shorter.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use edgewit_domain::tensor::{NotATensor, Tensor};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{Errno, pread, pwrite};

use super::frame::Layout;

pub(super) fn create() -> io::Result<OwnedFd> {
    Ok(memfd_create("edgewit-infer", MemfdFlags::CLOEXEC)?)
}

/// From the beginning on, one after the other.
pub(super) fn write<'a>(file: impl AsFd, parts: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
    let mut offset = 0;
    for mut part in parts {
        while !part.is_empty() {
            match pwrite(&file, part, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    part = part.get(count..).unwrap_or_default();
                    offset += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

pub(super) fn read(file: impl AsFd, mut into: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !into.is_empty() {
        match pread(&file, &mut *into, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                into = into.get_mut(count..).unwrap_or_default();
                offset += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Bytes of all of them together.
pub(super) fn bytes_of(layouts: &[Layout]) -> Result<u64, NotATensor> {
    layouts.iter().try_fold(0u64, |sum, layout| {
        let bytes = Tensor::bytes_of(layout.ty, &layout.dimensions)?;
        Ok(sum.saturating_add(bytes as u64))
    })
}

/// Tensors that lie one after the other. What they are together has to be compared with a limit before.
pub(super) fn tensors(file: impl AsFd, layouts: Vec<Layout>) -> io::Result<Vec<Tensor>> {
    let mut offset = 0;
    let mut all = Vec::with_capacity(layouts.len());
    for Layout { ty, dimensions } in layouts {
        let mut tensor = Tensor::zeros(ty, dimensions).map_err(io::Error::other)?;
        read(&file, tensor.data_mut(), offset)?;
        offset += tensor.data().len() as u64;
        all.push(tensor);
    }
    Ok(all)
}

pub(super) fn layouts<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Vec<Layout> {
    let layout = |tensor: &Tensor| Layout { ty: tensor.ty(), dimensions: tensor.dimensions().to_vec() };
    tensors.into_iter().map(layout).collect()
}
