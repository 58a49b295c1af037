//! The whole store is read from time to time, slowly: damage is found before what it hit is needed.
//!
//! On a thread of its own, since a check waits to leave the disk to others. What is damaged in a queue takes that queue
//! out of use, by name, as it would when its reader came to it; damage anywhere else is said, and hurts only who asks for
//! what was there. What nobody comes across any more, shadows that were deleted long ago, is forgotten on the way.

use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use edgewit_domain::limits::{CHECK_AFTER, CHECK_BYTES_PER_SECOND, CHECK_EVERY, SWEEP_ROWS};
use edgewit_domain::message::WallTime;
use edgewit_store::engine::{Engine, Finding, Progress};

use crate::clock::wall;
use crate::hub::Hub;
use crate::store::tools::{Damage, damage};
use crate::sync::lock;
use crate::threads::Threads;

pub(crate) struct Checking {
    ending: Arc<Ending>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Ending {
    told: Mutex<bool>,
    changed: Condvar,
}

impl Checking {
    pub fn start(engine: Arc<dyn Engine>, hub: Arc<Hub>, threads: &Threads) -> io::Result<Checking> {
        let ending: Arc<Ending> = Arc::default();
        let of_thread = ending.clone();
        let thread = threads.spawn("edgewit-check".to_owned(), None, move || run(&*engine, &hub, &of_thread))?;
        Ok(Checking { ending, thread })
    }

    pub fn end(self) {
        *lock(&self.ending.told) = true;
        self.ending.changed.notify_all();
        // What it panicked about is in the log.
        let _ = self.thread.join();
    }
}

impl Ending {
    /// Whether the end is told within this time.
    fn within(&self, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(lock(&self.told), time, |told| !*told);
        waited.is_ok_and(|(told, _)| *told)
    }
}

fn run(engine: &dyn Engine, hub: &Arc<Hub>, ending: &Arc<Ending>) {
    let mut next = CHECK_AFTER;
    while !ending.within(next) {
        next = CHECK_EVERY;
        let (since, ending) = (Instant::now(), ending.clone());
        let watch = move |progress: Progress| {
            let due = Duration::from_secs(progress.bytes / CHECK_BYTES_PER_SECOND);
            let is_over = ending.within(due.saturating_sub(since.elapsed()));
            if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        match engine.check(&(Arc::new(watch) as _)) {
            Ok(checked) => {
                checked.findings.iter().for_each(|finding| tell(engine, hub, finding));
                tracing::debug!(rows = checked.rows, found = checked.findings.len(), "Read the whole store");
            }
            Err(error) => tracing::warn!(%error, "The store could not be read to its end"),
        }
        forget_shadows(hub);
    }
}

/// Those that were deleted long ago: nobody else would come across them.
fn forget_shadows(hub: &Hub) {
    let (Ok(store), WallTime { unix_ms, trusted: true }) = (hub.store(), wall()) else { return };
    loop {
        match store.forget_shadows(unix_ms / 1000, SWEEP_ROWS) {
            Ok(SWEEP_ROWS) => {}
            Ok(_) => return,
            Err(refusal) => return tracing::warn!(%refusal, "Deleted shadows were not forgotten"),
        }
    }
}

fn tell(engine: &dyn Engine, hub: &Arc<Hub>, finding: &Finding) {
    let Damage { place, what, .. } = damage(engine, finding);
    tracing::error!(place, what, "Found damage in the store");
    hub.found_damaged(finding.clone());
}
