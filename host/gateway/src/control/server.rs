//! Who is let in at the control socket: the gateway's own user and root, so many at a time.

use std::path::PathBuf;
use std::sync::Arc;

use edgewit_domain::limits::CONTROL_CONNECTIONS;
use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::socket::{self, BindError};
use super::{connection, line};
use crate::core::{Core, refused};

pub(crate) struct Server {
    listener: UnixListener,
    path: PathBuf,
    core: Arc<Core>,
}

impl Server {
    /// To be called inside the runtime.
    pub fn bind(path: PathBuf, core: Arc<Core>) -> Result<Server, BindError> {
        let listener = socket::open(&path)?;
        let listener = UnixListener::from_std(listener);
        let listener = listener.map_err(|source| BindError::Io { step: "listening on", path: path.clone(), source })?;
        Ok(Server { listener, path, core })
    }

    /// Until it is aborted, which ends every connection with it.
    pub async fn serve(self) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => self.admit(stream, &mut connections),
                    Err(error) => {
                        // Out of file descriptors, most likely: others have to be closed before this can go on.
                        tracing::warn!(%error, "A control connection was not accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    fn admit(&self, stream: UnixStream, connections: &mut JoinSet<()>) {
        let refusal = match stream.peer_cred() {
            Ok(peer) if !may_command(peer.uid()) => {
                tracing::warn!(uid = peer.uid(), "Turned another user away from the control socket");
                refused("the control socket is for the gateway's own user and root", "ask as one of these")
            }
            Err(error) => refused(format!("the system does not say who you are: {error}"), "ask again"),
            Ok(_) if connections.len() >= CONTROL_CONNECTIONS => {
                let reason = format!("{CONTROL_CONNECTIONS} control connections are open already");
                refused(reason, "close an `edgewit logs -f`, `sub` or `top`, and ask again")
            }
            Ok(_) => {
                connections.spawn(connection::serve(stream, self.core.clone()));
                return;
            }
        };
        // A short line fits into the socket's buffer; whoever cannot take even that learns nothing.
        if let Ok(line) = line::encode(&refusal) {
            let _ = stream.try_write(&line);
        }
        drop(stream);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already, or in a folder that is gone: nobody will connect to it either way.
        let _ = std::fs::remove_file(&self.path);
    }
}

const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

fn may_command(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}
