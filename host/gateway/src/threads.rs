//! The one place where threads are started.
//!
//! Every thread has a name (the kernel shows 15 bytes of it), writes to this gateway's log, and is joined by
//! whoever asked for it. The list of all names stands in `ARCHITECTURE.md`, and a test compares it with the
//! process.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};

use tokio::runtime::Runtime;
use tracing::Dispatch;

/// Threads for what cannot wait otherwise: sixteen name lookups that hang, and files.
const BLOCKING_THREADS: usize = 18;
/// Such a thread ends when it was idle for so long.
const BLOCKING_IDLE: std::time::Duration = std::time::Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(crate) struct Threads {
    log: Dispatch,
}

impl Threads {
    pub fn new(log: Dispatch) -> Self {
        Threads { log }
    }

    /// `stack` is in bytes; the system's own size where there is none.
    pub fn spawn(
        &self,
        name: String,
        stack: Option<usize>,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let log = self.log.clone();
        let builder = Builder::new().name(name);
        let builder = match stack {
            Some(bytes) => builder.stack_size(bytes),
            None => builder,
        };
        builder.spawn(move || tracing::dispatcher::with_default(&log, body))
    }

    /// The runtime for sockets and timers: one worker, since guests run on threads of their own.
    pub fn runtime(&self) -> io::Result<Runtime> {
        let log = self.log.clone();
        let started = AtomicUsize::new(0);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_keep_alive(BLOCKING_IDLE)
            .thread_name_fn(move || match started.fetch_add(1, Ordering::Relaxed) {
                0 => "edgewit-io".to_owned(),
                number => format!("edgewit-file-{number}"),
            })
            .on_thread_start(move || {
                // The thread keeps it until it ends: there is no earlier moment to leave it at.
                std::mem::forget(tracing::dispatcher::set_default(&log));
            })
            .enable_all()
            .build()?;
        // The worker is whichever thread takes it up first: nothing else may be asked for before it has one, or
        // the names of the two are exchanged.
        runtime.block_on(async { tokio::spawn(async {}).await })?;
        Ok(runtime)
    }
}

/// A thread that starts before there is a log, or that must not wait for one.
pub(crate) fn detached(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    Builder::new().name(name.to_owned()).spawn(body).map(drop)
}
