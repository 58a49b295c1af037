//! The thread that starts children.
//!
//! Linux tells a child that its parent has ended when the *thread* that started it ends, and threads that load models or
//! wait for them come and go. So one that does nothing else starts all of them. It ends with the last that holds it, and
//! whoever holds a child holds it.

use std::io;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};

pub(super) struct Keeper {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

struct Order {
    command: Command,
    started: SyncSender<io::Result<Child>>,
}

static KEEPER: Mutex<Weak<Keeper>> = Mutex::new(Weak::new());

impl Keeper {
    /// The one that there is, or a new one.
    pub(super) fn get() -> io::Result<Arc<Keeper>> {
        let mut place = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keeper) = place.upgrade() {
            return Ok(keeper);
        }
        // Whoever asks waits for the answer, so no more are waiting than there are threads that ask.
        let (orders, next) = sync_channel(0);
        let thread = thread::Builder::new().name("edgewit-starts".into()).spawn(move || start_all(&next))?;
        let keeper = Arc::new(Keeper { orders: Some(orders), thread: Some(thread) });
        *place = Arc::downgrade(&keeper);
        Ok(keeper)
    }

    pub(super) fn start(&self, command: Command) -> io::Result<Child> {
        let (started, answer) = sync_channel(1);
        let ended = || io::Error::other("the thread that starts children has ended");
        let orders = self.orders.as_ref().ok_or_else(ended)?;
        orders.send(Order { command, started }).map_err(|_| ended())?;
        answer.recv().map_err(|_| ended())?
    }
}

fn start_all(orders: &Receiver<Order>) {
    while let Ok(Order { mut command, started }) = orders.recv() {
        let child = command.spawn();
        // With the command go this process's copies of what the child was handed, before anybody hears of the child.
        drop(command);
        let _ = started.send(child);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
