//! What the store promises, shown over the engines as the gateway uses them.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod engines;
#[cfg(test)]
mod opening;
