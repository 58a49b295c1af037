//! The binary as people and programs meet it: its help, its exit codes, what it prints and what it leaves behind.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first thing that is not as expected"
)]

mod answers;
mod cloud;
mod damage;
mod exit_codes;
mod gateway;
mod help;
mod models;
mod new_component;
mod queues;
mod shadow;
mod store;
mod support;
mod terminal;
mod trial;
