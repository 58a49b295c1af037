//! `wasi:logging`, stdout and stderr: all three end as lines of the gateway's log under the component's name.
//!
//! A guest can neither flood the log (a token bucket; what it drops is counted, and said once it permits
//! again) nor forge a line of somebody else (control characters are escaped, lines are cut).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use edgewit_domain::limits;
use edgewit_domain::rate::TokenBucket;
use hyper::body::Bytes;
use tokio::io::AsyncWrite;
use wasmtime::Result;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::bindings::wasi::logging::logging::{Host, Level};
use crate::guest::Guest;
use crate::instance::notes::Notes;
use crate::services::LogCounter;

impl Host for Guest {
    fn log(&mut self, level: Level, context: String, message: String) -> Result<()> {
        let context = if context.is_empty() { "log" } else { &context };
        message.lines().for_each(|line| self.log.line(level, context, line));
        Ok(())
    }
}

/// Where the lines of one instance go.
#[derive(Clone)]
pub(crate) struct Log(Arc<Shared>);

struct Shared {
    component: Arc<str>,
    started: Instant,
    gate: Mutex<Gate>,
    dropped: LogCounter,
}

struct Gate {
    bucket: TokenBucket,
    dropped: u64,
}

impl Log {
    pub fn new(component: Arc<str>, lines_per_second: u64, dropped: LogCounter) -> Self {
        let bucket = TokenBucket::new(lines_per_second, limits::LOG_BURST);
        let gate = Mutex::new(Gate { bucket, dropped: 0 });
        Log(Arc::new(Shared { component, started: Instant::now(), gate, dropped }))
    }

    pub fn line(&self, level: Level, context: &str, text: &str) {
        let component = &*self.0.component;
        let Some(dropped) = self.permit() else { return };
        if dropped > 0 {
            tracing::warn!(target: "edgewit::guest", component, dropped, "Logged too fast; lines were dropped");
        }
        let (context, text) = (printable(context), printable(text));
        match level {
            Level::Trace => tracing::trace!(target: "edgewit::guest", component, context, "{text}"),
            Level::Debug => tracing::debug!(target: "edgewit::guest", component, context, "{text}"),
            Level::Info => tracing::info!(target: "edgewit::guest", component, context, "{text}"),
            Level::Warn => tracing::warn!(target: "edgewit::guest", component, context, "{text}"),
            Level::Error | Level::Critical => {
                tracing::error!(target: "edgewit::guest", component, context, "{text}");
            }
        }
    }

    /// How many lines were dropped since the last one that was permitted, or that this one is dropped too.
    fn permit(&self) -> Option<u64> {
        let mut gate = self.0.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if gate.bucket.take(self.0.started.elapsed()) {
            return Some(std::mem::take(&mut gate.dropped));
        }
        gate.dropped += 1;
        self.0.dropped.add_one();
        None
    }
}

/// The text without anything that could steer a terminal or start a new line, and no longer than a line may be.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(limits::LOG_LINE_BYTES));
    for char in text.chars() {
        if out.len() >= limits::LOG_LINE_BYTES {
            out.push_str(" […]");
            break;
        }
        if char.is_control() && char != '\t' { out.extend(char.escape_default()) } else { out.push(char) }
    }
    out
}

/// What Rust says below every panic. A component has no such variable, and its backtrace is in the log as it is. Like
/// empty lines, which set text apart on a terminal, it is nothing for a log.
const DEAD_END: &str = "note: run with `RUST_BACKTRACE=1`";

/// One of the guest's standard streams.
#[derive(Clone)]
pub(crate) struct StdStream {
    name: &'static str,
    level: Level,
    log: Log,
    notes: Option<Notes>,
}

impl StdStream {
    pub fn stdout(log: &Log) -> Self {
        StdStream { name: "stdout", level: Level::Info, log: log.clone(), notes: None }
    }

    /// What is said here last explains a trap.
    pub fn stderr(log: &Log, notes: &Notes) -> Self {
        StdStream { name: "stderr", level: Level::Warn, log: log.clone(), notes: Some(notes.clone()) }
    }

    fn line(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        if text.trim().is_empty() || text.starts_with(DEAD_END) {
            return;
        }
        if let Some(notes) = &self.notes {
            notes.said(&text);
        }
        self.log.line(self.level, self.name, &text);
    }
}

impl IsTerminal for StdStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for StdStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(LineStream { stream: self.clone(), line: Vec::new() })
    }
}

/// Gathers bytes into lines.
struct LineStream {
    stream: StdStream,
    line: Vec<u8>,
}

impl LineStream {
    fn end_line(&mut self) {
        self.stream.line(&self.line);
        self.line.clear();
    }
}

impl OutputStream for LineStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        for byte in bytes {
            if byte == b'\n' || self.line.len() > limits::LOG_LINE_BYTES {
                self.end_line();
            }
            if byte != b'\n' {
                self.line.push(byte);
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * limits::KIB as usize)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LineStream {
    async fn ready(&mut self) {}
}

impl Drop for LineStream {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}
