//! Notices that a number does not go as it usually does, before it is out of any bounds: a model knows the usual course of
//! the last readings of a source, and how far it is off says how unusual they are.
//!
//! What needs no gateway: the readings of a source, and what a model's answer to them means.

pub mod source;
