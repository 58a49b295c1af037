//! A running instance and what is planned for it: its next health check, and its renewal.

use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::config::Component;
use edgewit_domain::fault::Fault;
use edgewit_domain::handling::StartReason;
use edgewit_domain::limits::BATCH;
use edgewit_sandbox::{Exports, Instance};

use super::guard::guarded;
use crate::desk::Desk;
use crate::loading::Loaded;
use crate::sync::lock;

pub(super) struct Live {
    instance: Instance,
    exports: Exports,
    made: Duration,
    health_at: Option<Duration>,
    /// No renewal before this, since the last one failed.
    renew_from: Duration,
}

/// Why there is no successor.
pub(super) enum Unreplaced {
    /// The old instance is as good as it was.
    Kept(String),
    /// The old instance failed, and is to be discarded.
    Lost(Fault),
}

impl Live {
    /// Makes an instance and starts it: restore, init and its effects, health. What of it fails leaves nothing
    /// but the effects of an init that returned well.
    pub fn make(
        desk: &Arc<Desk>,
        component: &Component,
        loaded: &Loaded,
        state: Option<&[u8]>,
        reason: StartReason,
    ) -> Result<Live, Fault> {
        let now = desk.now();
        let instance = guarded(|| {
            let mut instance = loaded.prepared.instantiate(desk.services(loaded))?;
            let (started, cpu) = instance.batch(|instance| {
                if let Some(state) = state {
                    instance.restore(state)?;
                }
                desk.commit_start(instance.start(reason)?)?;
                instance.health()
            });
            desk.stats.add_cpu(cpu);
            started.map(|()| instance)
        })?;
        if reason != StartReason::Recycle {
            desk.inbox.replay_retained();
        }
        let exports = instance.exports();
        desk.stats.memory.set(instance.memory());
        let health_at = exports.health.then(|| now + component.health_every);
        Ok(Live { instance, exports, made: now, health_at, renew_from: Duration::ZERO })
    }

    pub fn instance(&mut self) -> &mut Instance {
        &mut self.instance
    }

    pub fn memory(&self) -> u64 {
        self.instance.memory()
    }

    pub fn room_for_deliveries(&self) -> usize {
        if self.exports.hears() { BATCH } else { 0 }
    }

    pub fn next_tick(&self, desk: &Desk) -> Option<Duration> {
        if self.exports.tick { lock(&desk.timers).next_due() } else { None }
    }

    pub fn next_due(&self, component: &Component) -> Option<Duration> {
        let age = self.age_is_up_at(component).filter(|_| self.can_be_renewed(component));
        [self.health_at, age].into_iter().flatten().min()
    }

    pub fn adjust(&mut self, component: &Component, now: Duration) {
        self.health_at = self.health_at.map(|at| at.min(now + component.health_every));
    }

    pub fn health_is_due(&self, now: Duration) -> bool {
        self.health_at.is_some_and(|at| at <= now)
    }

    pub fn check_health(&mut self, component: &Component, now: Duration) -> Result<(), Fault> {
        self.health_at = Some(now + component.health_every);
        guarded(|| self.instance.health())
    }

    pub fn renewal_is_due(&self, component: &Component, now: Duration) -> bool {
        let recycle = &component.recycle;
        self.can_be_renewed(component)
            && now >= self.renew_from
            && (self.age_is_up_at(component).is_some_and(|at| at <= now)
                || recycle.calls.is_some_and(|calls| self.instance.calls() >= calls)
                || recycle.memory.is_some_and(|memory| self.instance.memory() >= memory))
    }

    /// Guest memory is thrown away by plan only where its state is carried over or there is none.
    fn can_be_renewed(&self, component: &Component) -> bool {
        self.exports.state || component.stateless
    }

    fn age_is_up_at(&self, component: &Component) -> Option<Duration> {
        component.recycle.age.map(|age| (self.made + age).max(self.renew_from))
    }

    pub fn put_renewal_off(&mut self, until: Duration) {
        self.renew_from = until;
    }

    /// Another instance with the state of this one, which is to be discarded then.
    pub fn successor(
        &mut self,
        desk: &Arc<Desk>,
        component: &Component,
        loaded: &Loaded,
        reason: StartReason,
    ) -> Result<Live, Unreplaced> {
        let carries = self.exports.state && loaded.prepared.exports().state;
        let state = if carries { guarded(|| self.instance.snapshot()) } else { Ok(None) };
        // A failed call has left this instance in the middle of something.
        let state = state.map_err(Unreplaced::Lost)?;
        Live::make(desk, component, loaded, state.as_deref(), reason)
            .map_err(|fault| Unreplaced::Kept(fault.to_string()))
    }
}
