//! One connection at the control socket: commands in, replies out, until either side has had enough.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::config::LiveFullRule;
use edgewit_domain::control::{Command, LogLine, MessageView, Reply};
use edgewit_domain::limits::{CONTROL_BACKLOG, CONTROL_LINE_BYTES, ENTRIES_PER_COMPONENT, QUEUE_BYTES};
use edgewit_domain::message::Envelope;
use edgewit_domain::topic::Filter;
use tokio::io::{AsyncReadExt, BufReader, BufWriter};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::line::{self, Line};
use crate::clock::wall;
use crate::components::OrderError;
use crate::core::{Core, not_reloaded, refused};
use crate::queue::Bounds;
use crate::telemetry::Missed;

/// Messages that are written before the socket is looked at again.
const AT_ONCE: usize = 32;

/// How often whoever waits for a reload hears for what.
const PROGRESS: Duration = Duration::from_secs(2);

struct Connection {
    core: Arc<Core>,
    from: BufReader<OwnedReadHalf>,
    to: BufWriter<OwnedWriteHalf>,
}

pub(super) async fn serve(stream: UnixStream, core: Arc<Core>) {
    let (from, to) = stream.into_split();
    let mut connection = Connection { core, from: BufReader::new(from), to: BufWriter::new(to) };
    if let Err(error) = connection.converse().await {
        tracing::debug!(%error, "A control connection broke");
    }
}

impl Connection {
    async fn converse(&mut self) -> io::Result<()> {
        loop {
            let command = match line::read(&mut self.from).await? {
                Line::End => return Ok(()),
                Line::TooLong => {
                    let reason = format!("a command of more than {CONTROL_LINE_BYTES} bytes");
                    return self.reply(&refused(reason, "send a smaller payload")).await;
                }
                Line::Text(text) => serde_json::from_slice(&text),
            };
            match command {
                Ok(Command::Subscribe { filters }) => return self.subscribe(filters).await,
                Ok(Command::Logs { component, lines, follow }) => {
                    self.logs(component.as_deref(), lines, follow).await?;
                }
                Ok(Command::Shutdown) => {
                    // The end closes this connection: the answer has to be out before it begins.
                    self.reply(&Reply::Done).await?;
                    self.core.command(Command::Shutdown).await;
                }
                Ok(Command::Reload) => self.reload().await?,
                Ok(command) => {
                    let reply = self.core.command(command).await;
                    self.reply(&reply).await?;
                }
                Err(error) => {
                    let cure = "send one command as JSON in one line, as the `edgewit` of the same version does";
                    self.reply(&refused(format!("not a command: {error}"), cure)).await?;
                }
            }
        }
    }

    async fn reply(&mut self, reply: &Reply) -> io::Result<()> {
        line::write(&mut self.to, reply).await?;
        line::flush(&mut self.to).await
    }

    /// Whoever does not wait for the end of it hangs up; the components go on with what they are changing.
    async fn reload(&mut self) -> io::Result<()> {
        let mut reloading = match self.core.reload().await {
            Ok(reloading) => reloading,
            Err(error) => return self.reply(&not_reloaded(&error)).await,
        };
        while timeout(PROGRESS, reloading.answered()).await.is_err() {
            let waiting = reloading.waiting();
            self.reply(&Reply::Reloading { waiting }).await?;
        }
        self.reply(&Reply::Reloaded(Box::new(reloading.report()))).await
    }

    async fn subscribe(&mut self, filters: Vec<String>) -> io::Result<()> {
        let parsed: Result<Vec<Filter>, Reply> = filters
            .into_iter()
            .map(|text| {
                Filter::parse(text.clone()).map_err(|error| {
                    let (problem, cure) = error.parts();
                    refused(format!("`{text}` is no filter: {problem}"), cure)
                })
            })
            .collect();
        let filters = match parsed {
            Ok(filters) if (1..=ENTRIES_PER_COMPONENT).contains(&filters.len()) => filters,
            Ok(filters) => {
                let cure = format!("name at least one, such as `#`, and at most {ENTRIES_PER_COMPONENT}");
                return self.reply(&refused(format!("{} filters", filters.len()), cure)).await;
            }
            Err(refusal) => return self.reply(&refusal).await,
        };
        let bounds =
            Bounds { messages: CONTROL_BACKLOG as u64, bytes: QUEUE_BYTES.default, full: LiveFullRule::DropOldest };
        let stream = self.core.hub.subscribe(filters, bounds);
        self.reply(&Reply::Done).await?;
        let mut told = 0;
        loop {
            let messages = tokio::select! {
                messages = stream.next(AT_ONCE) => messages,
                () = hung_up(&mut self.from) => return Ok(()),
            };
            for envelope in messages {
                let dropped = stream.dropped();
                line::write(&mut self.to, &Reply::Message(view(&envelope, dropped - told))).await?;
                told = dropped;
            }
            line::flush(&mut self.to).await?;
        }
    }

    async fn logs(&mut self, component: Option<&str>, lines: usize, follow: bool) -> io::Result<()> {
        if let Some(name) = component.filter(|name| self.core.components.desk(name).is_none()) {
            let unknown = OrderError::Unknown { name: name.to_owned() };
            return self.reply(&refused(&unknown, unknown.cure())).await;
        }
        let ring = self.core.telemetry.ring().clone();
        let (last, mut follower) = ring.follow(lines, component);
        for line in last {
            line::write(&mut self.to, &Reply::Log((*line).clone())).await?;
        }
        line::flush(&mut self.to).await?;
        if !follow {
            return self.reply(&Reply::Done).await;
        }
        loop {
            let next = tokio::select! {
                next = follower.next() => next,
                () = hung_up(&mut self.from) => return Ok(()),
            };
            let line = match next {
                None => return Ok(()),
                Some(Err(missed)) => missed_line(missed),
                Some(Ok(line)) if component.is_some() && line.component.as_deref() != component => continue,
                Some(Ok(line)) => (*line).clone(),
            };
            self.reply(&Reply::Log(line)).await?;
        }
    }
}

/// Whoever follows says nothing more; what comes in is read away until it ends.
async fn hung_up(from: &mut BufReader<OwnedReadHalf>) {
    let mut read_away = [0; 256];
    while let Ok(1..) = from.read(&mut read_away).await {}
}

pub(crate) fn view(envelope: &Envelope, dropped: u64) -> MessageView {
    MessageView {
        topic: envelope.message.topic.to_string(),
        payload: envelope.message.payload.clone(),
        qos: envelope.message.qos,
        id: envelope.id.to_string(),
        origin: envelope.origin.to_string(),
        hops: envelope.hops,
        received_ms: envelope.received.unix_ms,
        dropped,
    }
}

fn missed_line(Missed(count): Missed) -> LogLine {
    LogLine {
        at_ms: wall().unix_ms,
        level: "warn".to_owned(),
        component: None,
        text: format!("{count} lines went by faster than they were read"),
        fields: Default::default(),
    }
}
