//! Everything that edgewit decides, and nothing that it does.
//!
//! **Nothing here reads a clock, a file, a socket, the environment or a random number, and nothing here
//! starts a thread.** Time comes in as a value, decisions go out as values, and so every state machine
//! can be driven through years of faults in a second of test. `clippy.toml` beside this crate's manifest
//! turns a slip into a build error.

pub mod config;
pub mod control;
pub mod delivery;
pub mod digest;
pub mod fault;
pub mod grant;
pub mod handling;
pub mod ledger;
pub mod limits;
pub mod link;
pub mod message;
pub mod model;
pub mod queue;
pub mod rate;
pub mod routing;
pub mod shadow;
pub mod supervision;
pub mod tensor;
pub mod timer;
pub mod topic;
pub mod uptime;
