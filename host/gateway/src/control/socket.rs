//! The socket's file: made with the right mode from the start, and never taken from a gateway that lives.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use edgewit_domain::limits::CONTROL_CONNECTIONS;
use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("another gateway answers at the control socket {}; stop it, or set gateway.control to another path", path.display())]
    InUse { path: PathBuf },
    #[error("{} is not a socket, and is not removed; set gateway.control to another path", path.display())]
    NotASocket { path: PathBuf },
    #[error("the control socket's path {} is too long for the system; set gateway.control to a shorter one", path.display())]
    PathTooLong { path: PathBuf },
    #[error("{step} the control socket {} failed; check that its folder exists and is writable", path.display())]
    Io { step: &'static str, path: PathBuf, source: io::Error },
}

/// A socket that accepts, at a path where nobody else did.
pub(super) fn open(path: &Path) -> Result<UnixListener, BindError> {
    let failed = |step| {
        let path = path.to_owned();
        move |source: io::Error| BindError::Io { step, path, source }
    };
    clear(path)?;
    let address = SocketAddrUnix::new(path).map_err(|_| BindError::PathTooLong { path: path.to_owned() })?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let socket: OwnedFd = socket.map_err(|error| failed("making")(error.into()))?;
    // Linux makes the file with the mode of the socket: there is no moment at which others could connect.
    fchmod(socket.as_fd(), Mode::RUSR | Mode::WUSR).map_err(|error| failed("closing to others")(error.into()))?;
    bind(&socket, &address).map_err(|error| failed("binding")(error.into()))?;
    let backlog = i32::try_from(CONTROL_CONNECTIONS).unwrap_or(i32::MAX);
    listen(&socket, backlog).map_err(|error| failed("listening on")(error.into()))?;
    Ok(UnixListener::from(socket))
}

/// Removes what a gateway left behind that did not end in good order.
fn clear(path: &Path) -> Result<(), BindError> {
    let io = |step, source| BindError::Io { step, path: path.to_owned(), source };
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io("looking at", error)),
        Ok(found) if !found.file_type().is_socket() => return Err(BindError::NotASocket { path: path.to_owned() }),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(BindError::InUse { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| io("removing", error))
        }
        Err(error) => Err(io("asking", error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_socket_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let _listener = open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        drop(open(&path).unwrap());
        let _listener = open(&path).unwrap();
        assert!(matches!(open(&path), Err(BindError::InUse { .. })));
    }

    #[test]
    fn no_other_file_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.txt");
        std::fs::write(&path, "keep me").unwrap();
        assert!(matches!(open(&path), Err(BindError::NotASocket { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "keep me");
    }

    #[test]
    fn a_path_that_the_system_cannot_hold_is_named() {
        let path = Path::new("/tmp").join("x".repeat(200));
        assert!(matches!(open(&path), Err(BindError::PathTooLong { .. })));
    }
}
