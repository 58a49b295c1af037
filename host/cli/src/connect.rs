//! Finding the running gateway and asking it: the way of every verb that is not `run`.
//!
//! The socket is where `--socket` says, or where the configuration says. A configuration that has mistakes by now
//! may still be the one of a healthy gateway, so its mistakes do not keep anyone from asking.

use std::path::{Path, PathBuf};

use anyhow::Context;
use edgewit_domain::config::{Config, Mistakes};
use edgewit_domain::control::{Command, Reply};
use edgewit_gateway::control::{Client, ClientError};

use crate::exit::{Exit, Failure};

/// The configuration where nothing else is said.
pub const CONFIG: &str = "edgewit.toml";

#[derive(clap::Args, Clone, Debug)]
pub struct Gateway {
    /// The control socket of the gateway
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
    /// The configuration of the gateway, which names its control socket [default: edgewit.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Gateway {
    pub fn connect(&self) -> anyhow::Result<Client> {
        Client::connect(&self.socket()?).map_err(explain)
    }

    /// One command, one reply; a refusal is an error.
    pub fn ask(&self, command: &Command) -> anyhow::Result<Reply> {
        ask(&mut self.connect()?, command)
    }

    /// One command that is either done or refused.
    pub fn tell(&self, command: &Command) -> anyhow::Result<()> {
        match self.ask(command)? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Every reply to a command, as it comes.
    pub fn follow(&self, command: &Command) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Reply>>> {
        let replies = self.connect()?.follow(command).map_err(explain)?;
        Ok(replies.map(|reply| accept(reply.map_err(explain)?)))
    }

    fn socket(&self) -> anyhow::Result<PathBuf> {
        match &self.socket {
            Some(path) => Ok(path.clone()),
            None => socket_of(self.config.as_deref().unwrap_or(Path::new(CONFIG))),
        }
    }
}

/// One command, one reply; a refusal is an error.
pub fn ask(client: &mut Client, command: &Command) -> anyhow::Result<Reply> {
    accept(client.ask(command).map_err(explain)?)
}

/// A reply of another kind than the command has.
pub fn unexpected(reply: &Reply) -> anyhow::Error {
    let word = match reply {
        Reply::Done => "done",
        Reply::Status(_) => "a status",
        Reply::Log(_) => "a log line",
        Reply::Message(_) => "a message",
        Reply::Reloading { .. } => "what it waits for",
        Reply::Reloaded(_) => "what was reloaded",
        Reply::Queues { .. } => "the queues",
        Reply::Rows { .. } => "rows of a queue",
        Reply::Shadow { .. } => "a shadow",
        Reply::Shadows { .. } => "the shadows",
        Reply::SyncedShadows { .. } => "the shadows of a cloud",
        Reply::Counted { .. } => "a count of rows",
        Reply::Refused { .. } => "a refusal",
    };
    Failure::failed(
        format!("the gateway answered with {word}, which is no answer to this"),
        "use the gateway's own version of edgewit",
    )
    .into()
}

fn accept(reply: Reply) -> anyhow::Result<Reply> {
    match reply {
        Reply::Refused { reason, cure } => Err(Failure::failed(reason, cure).into()),
        reply => Ok(reply),
    }
}

/// The client's own words hold the cure; what is added is the code to end with.
fn explain(error: ClientError) -> anyhow::Error {
    let exit = match &error {
        ClientError::NotRunning { .. } | ClientError::HungUp { .. } | ClientError::Broke { .. } => Exit::Unavailable,
        ClientError::Permission { .. } | ClientError::Unknown { .. } | ClientError::TooLarge => Exit::Failed,
    };
    let failure = Failure::new(exit, error.to_string(), "");
    anyhow::Error::new(error).context(failure)
}

fn socket_of(config: &Path) -> anyhow::Result<PathBuf> {
    let text = read(config)?;
    let folder = config.parent().unwrap_or(Path::new(""));
    match Config::parse(&text) {
        Ok(parsed) => Ok(folder.join(parsed.gateway.control)),
        Err(mistakes) => match written_socket(&text) {
            Some(path) if folder.join(&path).exists() => Ok(folder.join(path)),
            _ => Err(mistaken(config, &mistakes)),
        },
    }
}

/// The data directory that a configuration names.
pub fn data_directory(config: &Path) -> anyhow::Result<PathBuf> {
    let text = read(config)?;
    let folder = config.parent().unwrap_or(Path::new(""));
    Config::parse(&text).map(|parsed| folder.join(parsed.gateway.data)).map_err(|mistakes| mistaken(config, &mistakes))
}

fn mistaken(config: &Path, mistakes: &Mistakes) -> anyhow::Error {
    let what = format!("the configuration has mistakes\n{}", mistakes.in_file(&config.display().to_string()));
    Failure::new(Exit::Configuration, what, "correct it, or name what you mean on the command line").into()
}

/// The text of a configuration file; one that cannot be read is a mistake like those in it.
pub fn read(config: &Path) -> anyhow::Result<String> {
    let read = std::fs::metadata(config).and_then(|found| match found.is_file() {
        true => std::fs::read_to_string(config),
        // Reading a pipe would wait for whoever writes to it.
        false => Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a file")),
    });
    read.with_context(|| {
        let what = format!("cannot read the configuration {}", config.display());
        Failure::new(Exit::Configuration, what, "name the configuration with --config FILE")
    })
}

/// What a configuration with mistakes says about its socket, as far as that much can be read.
fn written_socket(text: &str) -> Option<PathBuf> {
    let table: toml::Table = text.parse().ok()?;
    let gateway = table.get("gateway")?;
    let path = |key| gateway.get(key).and_then(toml::Value::as_str).map(PathBuf::from);
    path("control").or_else(|| Some(path("data")?.join("control.sock")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_beside_mistakes() {
        let cases = [
            ("[gateway]\ndata = \"d\"\ncolour = 1\n", Some("d/control.sock")),
            ("[gateway]\ndata = \"d\"\ncontrol = \"/run/x.sock\"\n", Some("/run/x.sock")),
            ("[gateway]\ndata = 7\n", None),
            ("[gateway\n", None),
        ];
        for (text, expected) in cases {
            assert_eq!(written_socket(text), expected.map(PathBuf::from), "{text}");
        }
    }
}
