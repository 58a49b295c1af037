//! The asking side of the control socket: what every verb of the CLI goes through.
//!
//! Blocking, on one connection, with no thread and no runtime, so that `edgewit ps` starts in a millisecond.
//! Never decides anything about a reply; it only carries it. Its errors name the cure, since a person reads
//! them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use edgewit_domain::control::{Command, Reply};
use edgewit_domain::limits::CONTROL_LINE_BYTES;

/// A connection to a running gateway.
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no gateway answers at {}; start it with `edgewit run --dev`, or name its configuration with --config, or the socket itself with --socket where `gateway.data` has changed since its start", path.display())]
    NotRunning {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the gateway at {} belongs to another user; ask as that user, or as root", path.display())]
    Permission {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the gateway at {} hung up; `edgewit logs` or its standard error says why", path.display())]
    HungUp { path: PathBuf },
    #[error("the connection to the gateway at {} broke", path.display())]
    Broke {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the gateway at {} answered with something that this edgewit does not know; use the gateway's own version", path.display())]
    Unknown {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("the command does not fit into a line of {CONTROL_LINE_BYTES} bytes; send a smaller payload")]
    TooLarge,
}

impl Client {
    pub fn connect(path: &Path) -> Result<Client, ClientError> {
        let stream = UnixStream::connect(path).map_err(|source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::PermissionDenied => ClientError::Permission { path, source },
                _ => ClientError::NotRunning { path, source },
            }
        })?;
        Ok(Client { path: path.to_owned(), stream: BufReader::new(stream) })
    }

    /// One command, one reply.
    pub fn ask(&mut self, command: &Command) -> Result<Reply, ClientError> {
        match self.send(command) {
            // Whoever is turned away is told why before the gateway hangs up, and that may be before we have spoken.
            Err(error @ ClientError::Broke { .. }) => self.receive().ok().flatten().ok_or(error),
            Err(error) => Err(error),
            Ok(()) => self.receive()?.ok_or_else(|| ClientError::HungUp { path: self.path.clone() }),
        }
    }

    /// A command with any number of replies. Returns when the first is there or, for a subscription, when it stands; a
    /// refusal is the only reply.
    pub fn follow(mut self, command: &Command) -> Result<Follow, ClientError> {
        let first = match (self.ask(command)?, command) {
            (Reply::Done, Command::Subscribe { .. }) => None,
            (reply, _) => Some(reply),
        };
        Ok(Follow { client: self, first, over: false })
    }

    fn send(&mut self, command: &Command) -> Result<(), ClientError> {
        let mut line = serde_json::to_vec(command).map_err(|_| ClientError::TooLarge)?;
        line.push(b'\n');
        if line.len() > CONTROL_LINE_BYTES {
            return Err(ClientError::TooLarge);
        }
        self.stream.get_mut().write_all(&line).map_err(|source| self.broke(source))
    }

    fn receive(&mut self) -> Result<Option<Reply>, ClientError> {
        let mut line = Vec::new();
        let bound = CONTROL_LINE_BYTES as u64 * 2;
        let read = (&mut self.stream).take(bound).read_until(b'\n', &mut line);
        match read.map_err(|source| self.broke(source))? {
            0 => Ok(None),
            _ => match serde_json::from_slice(&line) {
                Ok(reply) => Ok(Some(reply)),
                Err(source) => Err(ClientError::Unknown { path: self.path.clone(), source }),
            },
        }
    }

    fn broke(&self, source: io::Error) -> ClientError {
        ClientError::Broke { path: self.path.clone(), source }
    }
}

/// The replies to a command that has more than one, until the gateway ends or has no more.
pub struct Follow {
    client: Client,
    first: Option<Reply>,
    over: bool,
}

impl Iterator for Follow {
    type Item = Result<Reply, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = match self.first.take() {
            Some(reply) => Ok(Some(reply)),
            None => self.client.receive(),
        };
        self.over = !matches!(next, Ok(Some(Reply::Log(_) | Reply::Message(_) | Reply::Reloading { .. })));
        match next {
            Ok(Some(Reply::Done) | None) => None,
            Ok(Some(reply)) => Some(Ok(reply)),
            Err(error) => Some(Err(error)),
        }
    }
}
