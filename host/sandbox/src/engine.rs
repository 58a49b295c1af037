//! The one wasmtime engine of the process: how it is sized for the machine, and the clock that lets it
//! interrupt guests.
//!
//! [`configure`] is the only function that makes a `wasmtime::Config`. The gateway and the compiling child
//! both call it, because native code is accepted only by an engine configured exactly like the one that made
//! it. It must never read the environment, a file, or the machine's size: two processes on one machine have
//! to agree.
//!
//! wasmtime's defaults are sized for servers: 4 GiB of address space for each memory and 32 MiB guards do not
//! fit the 39-bit address spaces of small ARM boards. Each of them is lowered here, beside its reason.

use std::num::NonZeroUsize;
use std::sync::Arc;

use edgewit_domain::config::Profile;
use edgewit_domain::limits::{KIB, MIB};
use wasmtime::{Config, InstanceAllocationStrategy, ModuleVersionStrategy, WasmBacktraceDetails, WasmFeatures};

mod epoch;

pub use epoch::{EPOCH_TICK, Running};

/// The wasmtime that native code is made by and for. wasmtime itself compares major versions only, and a patch
/// release may be a fix of the code generator.
pub const WASMTIME_VERSION: &str = "48.0.8";

/// What a guest may be made of: all that compilers emit today. Memories of 64 bits, threads, garbage collection and
/// exceptions are code in the host that nobody here needs; relaxed SIMD computes differently on each processor. What a
/// later wasmtime turns on by itself stays off until it is put here.
const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::COMPONENT_MODEL);

/// Stack that a guest's thread needs beyond the guest's own: the host functions run on it, too.
const HOST_STACK: u64 = 512 * KIB;

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// wasmtime refused the configuration, or the machine.
    #[error("this machine cannot run WebAssembly: {reason}; `edgewit doctor` says what is missing")]
    Unsupported { reason: String },
    #[error("the thread that interrupts guests could not be started")]
    Ticker(#[source] std::io::Error),
}

/// The engine, and the thread that ticks its epoch while guests run. Clones share both; the thread is joined
/// when the last clone goes.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    engine: wasmtime::Engine,
    ticker: epoch::Ticker,
    profile: Profile,
}

impl Engine {
    pub fn new(profile: Profile) -> Result<Engine, EngineError> {
        let engine = engine(configure(profile).map(|mut config| {
            // Compiling is the child's work. A compiler that is only kept costs a megabyte.
            config.enable_compiler(false);
            config
        }))?;
        let ticker = epoch::Ticker::start(engine.clone()).map_err(EngineError::Ticker)?;
        Ok(Engine { shared: Arc::new(Shared { engine, ticker, profile }) })
    }

    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.shared.engine
    }

    pub fn profile(&self) -> Profile {
        self.shared.profile
    }

    /// The deepest stack any guest gets.
    pub fn guest_stack(&self) -> u64 {
        Sizes::of(self.shared.profile).stack
    }

    /// The stack of a thread that guests run on. A smaller one would let a deep guest run past its end, which
    /// aborts the process.
    pub fn thread_stack(&self) -> usize {
        usize::try_from(self.guest_stack() + HOST_STACK).unwrap_or(usize::MAX)
    }

    /// Says that a guest runs until the returned value is dropped. Epoch deadlines pass only meanwhile.
    pub fn running(&self) -> Running<'_> {
        self.shared.ticker.running()
    }
}

/// An engine that can compile and load but whose epoch stands still.
pub fn compiler(profile: Profile) -> Result<wasmtime::Engine, EngineError> {
    engine(configure(profile))
}

fn engine(config: wasmtime::Result<Config>) -> Result<wasmtime::Engine, EngineError> {
    config
        .and_then(|config| wasmtime::Engine::new(&config))
        .map_err(|error| EngineError::Unsupported { reason: format!("{error:#}") })
}

/// What differs between the device profiles.
struct Sizes {
    /// Address space set aside for each linear memory, so that growing up to it never moves it.
    reservation: u64,
    /// The same, once a memory has outgrown its reservation and was moved.
    growth: u64,
    /// wasmtime knows one stack size for a whole engine. Rust and C guests need tens of KiB; the interpreters of
    /// Python and JavaScript recurse through several hundred.
    stack: u64,
}

impl Sizes {
    const fn of(profile: Profile) -> Sizes {
        match profile {
            Profile::Standard => Sizes { reservation: 64 * MIB, growth: 16 * MIB, stack: MIB },
            Profile::Small => Sizes { reservation: 8 * MIB, growth: MIB, stack: 512 * KIB },
        }
    }
}

fn configure(profile: Profile) -> wasmtime::Result<Config> {
    let sizes = Sizes::of(profile);
    let mut config = Config::new();
    config.wasm_features(FEATURES.complement(), false);

    // Instances live long: a pool's fast instantiation gains nothing, and its reserved slots cost address space.
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    config.memory_reservation(sizes.reservation);
    config.memory_reservation_for_growth(sizes.growth);
    config.memory_may_move(true);
    // Bounds are checked explicitly below a 4 GiB reservation, so a large guard would save nothing.
    config.memory_guard_size(64 * KIB);
    // The data of a component stays in its file, shared and reclaimable, until a guest writes to it.
    config.memory_init_cow(true);
    // Null and stack checks by signal handler: the explicit ones cost every call.
    config.signals_based_traps(true);

    // Guests are called synchronously, each on its own thread; the bookkeeping for more doubles a call's cost.
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.max_wasm_stack(usize::try_from(sizes.stack)?);

    config.wasm_backtrace_max_frames(NonZeroUsize::new(20));
    // Function names come with the component. Line numbers would keep all of its debug information in memory,
    // and left to itself wasmtime asks the environment about them.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    // For native debuggers only; registering it takes longer with every component that is loaded.
    config.native_unwind_info(false);
    config.debug_symbols(false);

    config.module_version(ModuleVersionStrategy::Custom(format!("edgewit, wasmtime {WASMTIME_VERSION}")))?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_wasmtime_is_the_one_built_in() {
        let lock = include_str!("../../../Cargo.lock");
        let mut lines = lock.lines().skip_while(|line| *line != "name = \"wasmtime\"");
        assert_eq!(lines.nth(1), Some(format!("version = \"{WASMTIME_VERSION}\"").as_str()));
    }

    #[test]
    fn an_engine_that_runs_guests_compiles_nothing() {
        let wasm = wat::parse_str("(component)").unwrap();
        assert!(compiler(Profile::Standard).unwrap().precompile_component(&wasm).is_ok());
        assert!(Engine::new(Profile::Standard).unwrap().wasmtime().precompile_component(&wasm).is_err());
    }

    #[test]
    fn a_component_is_made_of_what_is_needed_and_of_nothing_else() {
        let engine = compiler(Profile::Standard).unwrap();
        let cases = [
            ("(memory 1)", true),
            ("(memory 1) (memory 1)", true),
            ("(func (param v128) (result v128) local.get 0)", true),
            ("(func $f return_call $f)", true),
            ("(global i32 (i32.add (i32.const 1) (i32.const 2)))", true),
            ("(table 1 externref) (func (param externref))", false),
            ("(memory i64 1)", false),
            ("(table i64 1 funcref)", false),
            ("(memory 1 1 shared)", false),
            ("(memory 1 (pagesize 1))", false),
            ("(func (param v128 v128) (result v128) local.get 0 local.get 1 i8x16.relaxed_swizzle)", false),
            ("(type $t (func)) (func (param (ref $t)) local.get 0 call_ref $t)", false),
            ("(type (struct (field i32)))", false),
            ("(tag)", false),
        ];
        for (module, expected) in cases {
            let wasm = wat::parse_str(format!("(component (core module {module}))")).unwrap();
            assert_eq!(engine.precompile_component(&wasm).is_ok(), expected, "{module}");
        }
    }

    #[test]
    fn a_guest_thread_has_room_for_guest_and_host() {
        for profile in [Profile::Standard, Profile::Small] {
            let engine = Engine::new(profile).unwrap();
            assert!(engine.thread_stack() as u64 >= engine.guest_stack() + 512 * 1024);
        }
    }
}
