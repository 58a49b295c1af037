//! The thread that writes the log to standard error, so that a full pipe stops nobody else.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgewit_domain::config::LogFormat;
use edgewit_domain::control::LogLine;

use super::line_text;
use crate::sync::lock;
use crate::threads;

/// Lines waiting to be written. The rest are dropped and counted.
const BACKLOG: usize = 1024;
/// How long the end of the gateway waits for a standard error that nobody reads.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) struct Writer {
    lines: SyncSender<Order>,
    lost: Arc<AtomicU64>,
    ended: Arc<Mutex<Receiver<()>>>,
}

enum Order {
    Write(Arc<LogLine>),
    End,
}

impl Writer {
    pub fn start(format: LogFormat) -> io::Result<Self> {
        let (lines, orders) = mpsc::sync_channel(BACKLOG);
        let (end, ended) = mpsc::sync_channel(1);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = lost.clone();
        threads::detached("edgewit-log", move || {
            write_all(&orders, &counter, format);
            // Whoever waited may have lost patience.
            let _ = end.try_send(());
        })?;
        Ok(Writer { lines, lost, ended: Arc::new(Mutex::new(ended)) })
    }

    pub fn write(&self, line: Arc<LogLine>) {
        if self.lines.try_send(Order::Write(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A thread stuck in a write to a pipe that nobody reads cannot be joined; the process's end takes it along.
    pub fn close(&self) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.lines.try_send(Order::End).is_err() && std::time::Instant::now() < deadline {
            std::thread::park_timeout(PATIENCE / 100);
        }
        let _ = lock(&self.ended).recv_timeout(PATIENCE);
    }
}

fn write_all(orders: &Receiver<Order>, lost: &AtomicU64, format: LogFormat) {
    let colour = io::stderr().is_terminal();
    while let Ok(Order::Write(line)) = orders.recv() {
        let mut text = match format {
            LogFormat::Text => line_text(&line, colour),
            LogFormat::Json => serde_json::to_string(&*line).unwrap_or_default(),
        };
        text.push('\n');
        // A standard error that is closed is no reason to stop; the lines are in the ring as well.
        let _ = io::stderr().write_all(text.as_bytes());
        let count = lost.swap(0, Ordering::Relaxed);
        if count > 0 {
            let _ = writeln!(io::stderr(), "({count} lines of the log were lost: standard error was not read in time)");
        }
    }
}
