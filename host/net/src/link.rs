//! The cloud link: one task that owns one broker's connection and does what the machine in `domain::link` says.
//!
//! Nothing of a connection outlives it. After any error there is a fresh one, and what was not acknowledged is taken
//! from its durable queue again. What comes from the cloud is acknowledged to it when it is on disk, in the order in
//! which it came. The task never waits for one thing only: a socket that takes no bytes, a disk that is slow and a
//! name server that does not answer leave the watchdog running.
//!
//! It must never keep a message that its queue does not have, block the thread it runs on, or start another task.

mod dial;
mod driver;
mod inbound;
mod outbound;
mod proxy;
mod seam;
mod status;
mod waits;
mod web_socket;
mod wire;

pub use dial::ConnectError;
pub use driver::{Stop, run};
pub use outbound::LinkError;
pub use seam::{
    BoxFuture, Clock, Downlink, DownlinkRule, Files, Material, NotStored, Outbox, Outgoing, Plan, UplinkRule,
};
pub use status::{DownlinkCounters, State, Status, Trouble};
