//! The thread on which sled commits, so that nobody waits for ever.
//!
//! Where a write of sled's fails, its threads may wait for one another without end. A commit that takes longer than it is
//! given is one whose outcome is not known; the thread is left behind, since the process is about to end. It must never be
//! asked a second time after that.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::rows::Rows;
use super::{caught, open, unknown};
use crate::engine::CommitError;

const NAME: &str = "edgewit-sled";

pub(super) struct Commits {
    line: Mutex<Line>,
    patience: Duration,
}

struct Line {
    ask: Option<SyncSender<sled::Batch>>,
    answer: Receiver<Result<(), CommitError>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread has.
pub(super) struct Place {
    pub rows: Arc<Rows>,
    pub folder: PathBuf,
    pub log: File,
}

impl Commits {
    pub fn start(place: Place, patience: Duration) -> io::Result<Commits> {
        Self::with(patience, move |changes| place.commit(changes))
    }

    fn with(
        patience: Duration,
        commit: impl Fn(sled::Batch) -> Result<(), CommitError> + Send + 'static,
    ) -> io::Result<Commits> {
        let (ask, asked) = sync_channel(1);
        let (tell, answer) = sync_channel(1);
        let thread = Builder::new().name(NAME.to_owned()).spawn(move || {
            for changes in asked {
                if tell.send(commit(changes)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Commits { line: Mutex::new(Line { ask: Some(ask), answer, thread: Some(thread) }), patience })
    }

    /// Returns when it is on disk, or when nobody knows.
    pub fn commit(&self, changes: sled::Batch) -> Result<(), CommitError> {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = line.ask.as_ref().is_some_and(|ask| ask.send(changes).is_ok());
        let ended = || unknown(io::Error::other("sled's thread has ended"));
        if !asked {
            return Err(ended());
        }
        line.answer.recv_timeout(self.patience).unwrap_or_else(|error| match error {
            RecvTimeoutError::Disconnected => Err(ended()),
            RecvTimeoutError::Timeout => {
                let what = format!("sled did not come back from a commit within {} s", self.patience.as_secs());
                Err(unknown(io::Error::new(io::ErrorKind::TimedOut, what)))
            }
        })
    }

    /// Waits for the thread, unless it may never end.
    pub fn end(&self, stuck: bool) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.ask = None;
        if let Some(thread) = line.thread.take().filter(|_| !stuck) {
            // A panic there was told when it happened.
            let _ = thread.join();
        }
    }
}

impl Place {
    fn commit(&self, changes: sled::Batch) -> Result<(), CommitError> {
        let db = self.rows.db();
        caught(|| db.apply_batch(changes).and_then(|()| db.flush())).map_err(unknown)?;
        self.log.sync_data().map_err(unknown)?;
        let apart = open::has_blobs(&self.folder).map_err(unknown)?;
        if apart {
            return Err(unknown(io::Error::other("sled wrote a value to a file of its own, which it does not sync")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_does_not_come_back_is_one_whose_outcome_is_not_known() {
        let (hold, held) = sync_channel::<()>(0);
        let held = Mutex::new(held);
        let commits = Commits::with(Duration::from_millis(50), move |_| {
            let _ = held.lock().unwrap().recv();
            Ok(())
        })
        .unwrap();
        let ended = commits.commit(sled::Batch::default());
        assert!(
            matches!(&ended, Err(CommitError::Unknown(why)) if why.to_string().contains("did not come back")),
            "{ended:?}"
        );
        commits.end(true);
        drop(hold);
    }
}
