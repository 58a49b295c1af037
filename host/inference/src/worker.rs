//! `edgewit worker infer`.

use std::process::ExitCode;

pub fn main() -> ExitCode {
    todo!()
}
