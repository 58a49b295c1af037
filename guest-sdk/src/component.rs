//! What a component implements, and the macro that makes the gateway's calls reach it.
//!
//! One value per instance, made on the first call from the configuration. The component model never calls into an
//! instance that is already being called, so a `RefCell` is enough; should it ever happen, it is an error, not a panic.

use std::cell::RefCell;

use crate::config::ConfigError;
use crate::message::{Delivery, Failure};
use crate::shadow::{Change, Delta};
use crate::timer::Tick;

/// Why this instance was made.
pub use crate::bindings::init::exports::edgewit::lifecycle::start::Reason;

/// The value that lives as long as an instance. Its memory is a cache: after a failed handling it is gone.
pub trait Component: Sized + 'static {
    /// Makes the value. Read and check the whole configuration here; publish nothing.
    fn from_config() -> Result<Self, ConfigError>;
}

/// Hears messages: `messages` in [`component!`](crate::component).
pub trait HandleMessages: Component {
    /// Called once for each delivery. What it asks for takes effect when it returns `Ok`.
    fn on_message(&mut self, delivery: Delivery) -> Result<(), Failure>;
}

/// Is called by timers: `ticks` in [`component!`](crate::component).
pub trait HandleTicks: Component {
    /// Called when a timer is due. What it asks for takes effect when it returns `Ok`.
    fn on_tick(&mut self, tick: Tick) -> Result<(), Failure>;
}

/// Does what is desired of a device: `deltas` in [`component!`](crate::component), and a subscription to
/// `$aws/things/…/shadow/…/update/delta`.
pub trait HandleDeltas: Component {
    /// Called when something is desired that is not reported. What it asks for takes effect when it returns `Ok`.
    fn on_delta(&mut self, delta: Delta) -> Result<(), Failure>;
}

/// Follows documents: `changes` in [`component!`](crate::component), and a subscription to
/// `$aws/things/…/shadow/…/update/documents`.
pub trait HandleChanges: Component {
    /// Called when a document was updated. What it asks for takes effect when it returns `Ok`.
    fn on_change(&mut self, change: Change) -> Result<(), Failure>;
}

/// Acts when it is started: `init` in [`component!`](crate::component). Even an empty one has a use:
/// with it a mistake in the configuration is found at the start and not at the first delivery.
pub trait Start: Component {
    /// Called before anything else, [`CarryState::restore`] apart.
    fn init(&mut self, reason: Reason) -> Result<(), String> {
        let _ = reason;
        Ok(())
    }
}

/// Says how it is: `health` in [`component!`](crate::component).
pub trait CheckHealth: Component {
    /// Called at intervals. An error counts as a fault of the instance.
    fn check(&mut self) -> Result<(), String>;
}

/// Hands its memory to the next instance when the gateway renews it by plan: `state` in
/// [`component!`](crate::component). Not called after a fault: what must last belongs into a key-value bucket.
pub trait CarryState: Component {
    /// What the next instance needs to know.
    fn snapshot(&mut self) -> Result<Vec<u8>, String>;
    /// Takes over what the instance before it knew. On an error the gateway keeps the old instance.
    fn restore(&mut self, state: &[u8]) -> Result<(), String>;
}

/// The place of an instance's one value.
#[doc(hidden)]
pub struct Slot<C>(RefCell<Option<C>>);

impl<C: Component> Slot<C> {
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    pub fn call<R>(&self, call: impl FnOnce(&mut C) -> Result<R, String>) -> Result<R, String> {
        self.reach(|text| text, call)
    }

    /// A configuration is repaired by people, so a delivery that met a broken one is worth another try.
    pub fn handle(&self, call: impl FnOnce(&mut C) -> Result<(), Failure>) -> Result<(), Failure> {
        self.reach(Failure::Retry, call)
    }

    fn reach<R, E>(&self, fail: impl Fn(String) -> E, call: impl FnOnce(&mut C) -> Result<R, E>) -> Result<R, E> {
        let Ok(mut place) = self.0.try_borrow_mut() else {
            return Err(fail("the instance was called while it was being called".to_string()));
        };
        let value = match &mut *place {
            Some(value) => value,
            empty => match C::from_config() {
                Ok(value) => empty.insert(value),
                Err(error) => return Err(fail(error.to_string())),
            },
        };
        call(value)
    }
}

impl<C: Component> Default for Slot<C> {
    fn default() -> Self {
        Self::new()
    }
}

/// Exports a type as the component: `component!(Thermostat: messages, ticks)`.
///
/// After the colon stands what the gateway may call, and each word needs its trait: `messages` [`HandleMessages`],
/// `ticks` [`HandleTicks`], `deltas` [`HandleDeltas`], `changes` [`HandleChanges`], `init` [`Start`], `health` [`CheckHealth`], `state` [`CarryState`]. What is left out is not
/// exported. Once per crate.
#[macro_export]
macro_rules! component {
    ($component:ident: $($capability:ident),+ $(,)?) => {
        const _: () = {
            struct Exports;
            // Outside of a component nothing is exported, and without this all of it would count as unused.
            #[cfg(not(target_family = "wasm"))]
            const _: Exports = Exports;
            ::std::thread_local! {
                static INSTANCE: $crate::__private::Slot<$component> = const { $crate::__private::Slot::new() };
            }
            $( $crate::component!(@ $capability); )+
        };
    };
    (@ messages) => {
        impl $crate::__private::messages::exports::edgewit::pubsub::handler::Guest for Exports {
            fn on_message(delivery: $crate::Delivery) -> ::std::result::Result<(), $crate::Failure> {
                INSTANCE.with(|slot| slot.handle(|instance| $crate::HandleMessages::on_message(instance, delivery)))
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::__private::messages::export!(Exports with_types_in $crate::__private::messages);
    };
    (@ ticks) => {
        impl $crate::__private::ticks::exports::edgewit::timer::handler::Guest for Exports {
            fn on_tick(tick: $crate::timer::Tick) -> ::std::result::Result<(), $crate::Failure> {
                INSTANCE.with(|slot| slot.handle(|instance| $crate::HandleTicks::on_tick(instance, tick)))
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::__private::ticks::export!(Exports with_types_in $crate::__private::ticks);
    };
    (@ deltas) => {
        impl $crate::__private::deltas::exports::edgewit::shadow::handler::Guest for Exports {
            fn on_delta(delta: $crate::shadow::Delta) -> ::std::result::Result<(), $crate::Failure> {
                INSTANCE.with(|slot| slot.handle(|instance| $crate::HandleDeltas::on_delta(instance, delta)))
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::__private::deltas::export!(Exports with_types_in $crate::__private::deltas);
    };
    (@ changes) => {
        impl $crate::__private::changes::exports::edgewit::shadow::observer::Guest for Exports {
            fn on_change(change: $crate::shadow::Change) -> ::std::result::Result<(), $crate::Failure> {
                INSTANCE.with(|slot| slot.handle(|instance| $crate::HandleChanges::on_change(instance, change)))
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::__private::changes::export!(Exports with_types_in $crate::__private::changes);
    };
    (@ init) => {
        impl $crate::__private::init::exports::edgewit::lifecycle::start::Guest for Exports {
            fn init(reason: $crate::Reason) -> ::std::result::Result<(), ::std::string::String> {
                INSTANCE.with(|slot| slot.call(|instance| $crate::Start::init(instance, reason)))
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::__private::init::export!(Exports with_types_in $crate::__private::init);
    };
    (@ health) => {
        impl $crate::__private::health::exports::edgewit::lifecycle::health::Guest for Exports {
            fn check() -> ::std::result::Result<(), ::std::string::String> {
                INSTANCE.with(|slot| slot.call($crate::CheckHealth::check))
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::__private::health::export!(Exports with_types_in $crate::__private::health);
    };
    (@ state) => {
        impl $crate::__private::state::exports::edgewit::lifecycle::state::Guest for Exports {
            fn snapshot() -> ::std::result::Result<::std::vec::Vec<u8>, ::std::string::String> {
                INSTANCE.with(|slot| slot.call($crate::CarryState::snapshot))
            }
            fn restore(state: ::std::vec::Vec<u8>) -> ::std::result::Result<(), ::std::string::String> {
                INSTANCE.with(|slot| slot.call(|instance| $crate::CarryState::restore(instance, &state)))
            }
        }
        #[cfg(target_family = "wasm")]
        $crate::__private::state::export!(Exports with_types_in $crate::__private::state);
    };
    (@ $unknown:ident) => {
        ::std::compile_error!("after the colon stand: messages, ticks, deltas, changes, init, health, state");
    };
}
