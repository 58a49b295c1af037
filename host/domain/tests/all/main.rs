//! The tests of the domain that go through its public face only, in one binary.

#![expect(clippy::disallowed_methods, reason = "the cases lie in a folder; what is tested reads no file")]

#[cfg(test)]
mod changes;
#[cfg(test)]
mod clouds;
#[cfg(test)]
mod config;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod memory;
mod models;
#[cfg(test)]
mod shadow;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod sync;
#[cfg(test)]
mod warnings;
