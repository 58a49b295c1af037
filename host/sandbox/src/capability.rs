//! One file for each thing that a guest can be given. Each checks the instance's own grants before it does
//! anything, and none holds state that outlives the instance.

pub(crate) mod config;
pub(crate) mod filesystem;
pub(crate) mod http;
pub(crate) mod io;
pub(crate) mod keyvalue;
pub(crate) mod logging;
pub(crate) mod nn;
pub(crate) mod pubsub;
pub(crate) mod shadow;
pub(crate) mod timer;
