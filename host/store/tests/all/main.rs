//! What the store promises, shown over the engines as the gateway uses them.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod engines;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod flips;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
#[path = "../../workload/model.rs"]
mod model;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod transfer;
