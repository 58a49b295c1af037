//! How rows lie on disk: their keys, and the bytes of what they hold. `docs/store-format.md` is its description.
//!
//! Nothing in here may change what bytes mean: a golden test holds every kind of row. A new kind of row gets a letter of
//! its own, and a new field goes behind the old ones, where an older reader does not look.

pub mod bytes;
pub mod envelope;
pub mod key;
pub mod name;
pub mod record;

#[cfg(test)]
mod golden;
