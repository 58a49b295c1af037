//! Says what is in a picture: takes JPEG and PNG, and has a model look at them.
//!
//! What needs no gateway: a picture from bytes, a model's input from a picture, and names from its output.

pub mod fit;
pub mod picture;
pub mod rank;
