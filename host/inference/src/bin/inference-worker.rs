//! The computing child for this crate's own tests, which have no `edgewit` binary to call. Not shipped.

fn main() -> std::process::ExitCode {
    edgewit_inference::worker::main()
}
