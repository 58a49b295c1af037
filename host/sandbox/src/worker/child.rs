//! The compiling child itself.
//!
//! It must not read a byte of the component before it has taken everything away from itself, and it must not
//! start a thread before either: a restriction reaches only the threads that come after it.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use edgewit_worker::{self as worker, Confinement, Limits, Reach};

use super::frame::{Reply, Request, Status};
use crate::engine;

/// The whole of `edgewit worker compile`. To be called before anything has started a thread.
pub fn main() -> ExitCode {
    match serve(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        // Without its parent the child has nobody to tell.
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    let request = Request::read(input)?;
    worker::end_with_parent(request.parent)?;
    // Looking at the CPU may need files on some machines.
    let engine = match engine::compiler(request.profile) {
        Ok(engine) => engine,
        Err(error) => return reply(output, Status::Failed, Confinement::None, error.to_string().as_bytes()),
    };
    let confinement = match worker::close(Reach::Nothing).and_then(|confinement| {
        worker::limit(Limits {
            memory: Some(request.memory),
            cpu_seconds: Some(request.cpu_seconds),
            file: 0,
            nice: 10,
            reach: Reach::Nothing,
        })?;
        Ok(confinement)
    }) {
        Ok(confinement) => confinement,
        Err(error) => {
            let reason = format!("it could not shut itself in: {error}");
            return reply(output, Status::Failed, Confinement::None, reason.as_bytes());
        }
    };
    let Ok(wasm) = read(input, request.bytes)? else {
        return reply(output, Status::Memory, confinement, b"");
    };
    match engine.precompile_component(&wasm) {
        Ok(code) => reply(output, Status::Compiled, confinement, &code),
        Err(error) if is_out_of_memory(&error) => reply(output, Status::Memory, confinement, b""),
        Err(error) => reply(output, Status::Refused, confinement, format!("{error:#}").as_bytes()),
    }
}

struct OutOfMemory;

fn read(input: &mut impl Read, bytes: u64) -> io::Result<Result<Vec<u8>, OutOfMemory>> {
    let mut wasm = Vec::new();
    let Ok(length) = usize::try_from(bytes) else { return Ok(Err(OutOfMemory)) };
    if wasm.try_reserve_exact(length).is_err() {
        return Ok(Err(OutOfMemory));
    }
    input.take(bytes).read_to_end(&mut wasm)?;
    if wasm.len() == length { Ok(Ok(wasm)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn is_out_of_memory(error: &wasmtime::Error) -> bool {
    error.is::<wasmtime::OutOfMemory>()
        || error.chain().any(|cause| {
            cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::OutOfMemory)
                || cause.downcast_ref::<rustix::io::Errno>() == Some(&rustix::io::Errno::NOMEM)
        })
}

fn reply(output: &mut impl Write, status: Status, confinement: Confinement, body: &[u8]) -> io::Result<()> {
    Reply { status, confinement, bytes: body.len() as u64 }.write(output)?;
    output.write_all(body)?;
    output.flush()
}
