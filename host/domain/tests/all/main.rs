//! The tests of the domain that go through its public face only, in one binary.

#[cfg(test)]
mod config;
