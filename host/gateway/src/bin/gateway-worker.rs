//! The compiling child for this crate's tests, which have no `edgewit` at hand. It is no part of what is shipped.

fn main() -> std::process::ExitCode {
    edgewit_sandbox::worker::main()
}
