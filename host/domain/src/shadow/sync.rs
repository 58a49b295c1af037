//! Shadows that are the same here and in the cloud.

#![cfg_attr(not(test), expect(dead_code, reason = "what decides when to merge comes next"))]

mod merge3;
mod state;

pub use merge3::{Winner, Winners};
