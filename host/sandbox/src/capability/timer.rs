//! `edgewit:timer/scheduler`: one-shot timers, as effects of the handling that asks for them.
//!
//! A handling sees its own changes: what it has set it can cancel. Nothing is scheduled before it returns well.

use std::sync::PoisonError;
use std::time::Duration;

use edgewit_domain::handling::TimerChange;
use edgewit_domain::limits;
use wasmtime::Result;

use crate::bindings::edgewit::timer::{scheduler, types};
use crate::guest::Guest;

impl types::Host for Guest {}

impl scheduler::Host for Guest {
    fn set(&mut self, name: String, after_ms: u64, payload: Vec<u8>) -> Result<Result<(), types::TimerError>> {
        Ok(self.set_timer(name, after_ms, payload).inspect_err(|error| self.notes.refused(&words(error))))
    }

    fn cancel(&mut self, name: String) -> Result<bool> {
        let timers = self.services.timers.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = self.effects.is_pending(&timers, &name);
        drop(timers);
        Ok(pending && self.effects.change_timer(TimerChange::Cancel { name }).is_ok())
    }
}

impl Guest {
    fn set_timer(&mut self, name: String, after_ms: u64, payload: Vec<u8>) -> Result<(), types::TimerError> {
        if name.is_empty() || name.len() > limits::NAME_BYTES {
            let reason = format!("a timer's name has 1 to {} bytes, this one {}", limits::NAME_BYTES, name.len());
            return Err(types::TimerError::InvalidName(reason));
        }
        if payload.len() > limits::TIMER_PAYLOAD_BYTES {
            return Err(types::TimerError::TooLarge(limits::TIMER_PAYLOAD_BYTES as u32));
        }
        let allowed = self.profile.grants.timer_pending().map_err(|denied| quota(denied.to_string()))?;
        let timers = self.services.timers.lock().unwrap_or_else(PoisonError::into_inner);
        if timers.is_declared(&name) {
            let reason = format!("\"{name}\" is a timer of the configuration; choose another name");
            return Err(types::TimerError::InvalidName(reason));
        }
        let full = self.effects.pending(&timers) as u64 >= allowed;
        if full && !self.effects.is_pending(&timers, &name) {
            return Err(quota(format!("{allowed} timers are pending, and grant.timer.pending allows no more")));
        }
        drop(timers);
        let after = Duration::from_millis(after_ms).min(limits::TIMER_AFTER);
        self.effects.change_timer(TimerChange::Set { name, after, payload }).map_err(quota)
    }
}

fn words(error: &types::TimerError) -> String {
    match error {
        types::TimerError::InvalidName(reason) | types::TimerError::Quota(reason) => reason.clone(),
        types::TimerError::TooLarge(most) => format!("a timer's payload has at most {most} bytes"),
    }
}

fn quota(reason: String) -> types::TimerError {
    types::TimerError::Quota(reason)
}
