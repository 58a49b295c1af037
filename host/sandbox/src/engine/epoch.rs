//! The clock that interrupts guests: a thread that advances the engine's epoch while any guest runs.
//!
//! It must never run while no guest does: an idle gateway on a battery wakes for nothing. It must never miss
//! a guest that does, or a spinning one would never be stopped. So a counter of running guests decides, and
//! the thread announces that it is about to sleep *before* it looks at the counter for the last time, while a
//! guest's thread raises the counter *before* it looks at the announcement: one of the two always sees the
//! other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Time between two ticks of the epoch. The next tick is never further away than this, so a deadline of N ticks
/// may pass after N−1 times this: add one.
pub const EPOCH_TICK: Duration = Duration::from_millis(5);

/// Ticks for which the thread stays awake after the last guest returned, so that a stream of short handlings
/// does not pay for a wake-up each.
const LINGER: u32 = 4;

pub(super) struct Ticker {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    running: AtomicU64,
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// As long as it lives, the epoch advances.
pub struct Running<'a> {
    state: &'a State,
}

impl Ticker {
    pub(super) fn start(engine: wasmtime::Engine) -> io::Result<Ticker> {
        let state = Arc::new(State::default());
        let thread = thread::Builder::new().name("edgewit-epoch".into()).stack_size(64 * 1024).spawn({
            let state = state.clone();
            move || tick(&engine, &state)
        })?;
        Ok(Ticker { state, thread: Some(thread) })
    }

    pub(super) fn running(&self) -> Running<'_> {
        self.state.running.fetch_add(1, Ordering::SeqCst);
        if self.state.asleep.load(Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Running { state: &self.state }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.state.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It runs nothing that can panic; a failed join would have nobody to tell.
            let _ = thread.join();
        }
    }
}

fn tick(engine: &wasmtime::Engine, state: &State) {
    let mut idle = 0;
    while !state.stop.load(Ordering::SeqCst) {
        if idle >= LINGER {
            state.asleep.store(true, Ordering::SeqCst);
            while state.running.load(Ordering::SeqCst) == 0 && !state.stop.load(Ordering::SeqCst) {
                thread::park();
            }
            state.asleep.store(false, Ordering::SeqCst);
            idle = 0;
        }
        thread::sleep(EPOCH_TICK);
        match state.running.load(Ordering::SeqCst) {
            0 => idle += 1,
            _ => {
                idle = 0;
                engine.increment_epoch();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn ticker() -> (wasmtime::Engine, Ticker) {
        let engine = super::super::compiler(edgewit_domain::config::Profile::Small).unwrap();
        (engine.clone(), Ticker::start(engine).unwrap())
    }

    fn until_asleep(ticker: &Ticker) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !ticker.state.asleep.load(Ordering::SeqCst) {
            assert!(Instant::now() < deadline, "it never went to sleep");
            thread::yield_now();
        }
    }

    #[test]
    fn a_guest_that_spins_is_stopped_after_any_idle_time_and_whoever_else_returns() {
        let (engine, ticker) = ticker();
        let wasm = wat::parse_str("(module (func (export \"spin\") (loop br 0)))").unwrap();
        let module = wasmtime::Module::new(&engine, wasm).unwrap();
        for _ in 0..3 {
            until_asleep(&ticker);
            let mut store = wasmtime::Store::new(&engine, ());
            let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
            let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").unwrap();
            let running = ticker.running();
            drop(ticker.running());
            store.set_epoch_deadline(u64::from(LINGER) + 4);
            let trap = spin.call(&mut store, ()).unwrap_err();
            assert_eq!(trap.downcast_ref(), Some(&wasmtime::Trap::Interrupt));
            drop(running);
        }
    }

    #[test]
    fn it_sleeps_once_the_last_guest_is_gone() {
        let (_, ticker) = ticker();
        let (first, second) = (ticker.running(), ticker.running());
        drop(first);
        drop(second);
        until_asleep(&ticker);
    }
}
