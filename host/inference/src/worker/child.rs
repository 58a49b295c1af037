//! The child itself.
//!
//! It must not see a byte of the model before it has taken everything away from itself, and it must not start a thread
//! before either: a restriction reaches only the threads that come after it. What it computes with it has copied out of the
//! shared memory first. It computes on a thread of its own, whose stack is the same whatever it was started under.

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use edgewit_domain::config::{Backend, Provider};
use edgewit_domain::limits::{MIB, MODEL_PORTS, TENSOR_DIMENSIONS};
use edgewit_domain::model::{Description, ErrorKind, InferenceError, Named};
use edgewit_domain::tensor::Tensor;
use edgewit_worker::{self as worker, Confinement, Limits, Reach};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::{RecvFlags, recv};

use super::frame::{Header, Layout, Order, Refusal, SAID_BYTES, Said, Start};
use super::{STACK, memory};
use crate::model::LoadError;
use crate::onnxruntime::Library;
use crate::session::{LOOK_OUT, Loaded, Session};
use crate::tract::TractModel;

/// A stack of each thread that a library starts, as the system has it.
const THREAD_STACK: u64 = 8 * MIB;

/// The whole of `edgewit worker infer`. To be called before anything has started a thread.
pub fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        // Without its parent the child has nobody to tell.
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> io::Result<()> {
    let Some(Order::Start(start)) = next()? else { return Err(io::ErrorKind::InvalidData.into()) };
    worker::end_with_parent(start.parent)?;
    let (library, confinement) = match shut_in(&start) {
        Ok(ready) => ready,
        Err((refusal, text)) => return say(&Said::Refused(refusal, text)),
    };
    let compute = move || compute(&start, library.as_ref(), confinement);
    let thread = thread::Builder::new().name("edgewit-infer".into()).stack_size(STACK).spawn(compute)?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")))
}

/// Loads what needs files, and then takes everything away.
fn shut_in(start: &Start) -> Result<(Option<Library>, Confinement), (Refusal, String)> {
    let (library, reach, threads) = match start.backend {
        Backend::Tract { .. } => (None, Reach::Nothing, 1),
        Backend::Onnxruntime { provider, threads } => {
            let library =
                Library::load(&start.library, provider).map_err(|error| (Refusal::Library, error.to_string()))?;
            let reach = match provider {
                Provider::Cpu => Reach::Nothing,
                Provider::Cuda => Reach::Devices,
            };
            (Some(library), reach, threads)
        }
    };
    let limited = || {
        // What is written there and not read must not hold the child up.
        let stderr = io::stderr();
        fcntl_setfl(&stderr, fcntl_getfl(&stderr)? | OFlags::NONBLOCK)?;
        let stacks = STACK as u64 + THREAD_STACK.saturating_mul(threads);
        let before = address_space()?.saturating_add(stacks);
        let confinement = worker::close(reach)?;
        // Drivers reserve addresses beyond any limit, and size files of their own that they were given no path to.
        let (memory, file) = match reach {
            Reach::Nothing => (Some(before.saturating_add(start.memory)), start.memory),
            Reach::Devices => (None, u64::MAX),
        };
        worker::limit(Limits { memory, cpu_seconds: None, file, nice: 5, reach })?;
        Ok(confinement)
    };
    match limited() {
        Ok(confinement) => Ok((library, confinement)),
        Err::<_, io::Error>(error) => Err((Refusal::Child, format!("it could not shut itself in: {error}"))),
    }
}

/// Bytes of addresses that this process has taken: the binary, its libraries and their tables.
fn address_space() -> io::Result<u64> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: Option<u64> = statm.split(' ').next().and_then(|pages| pages.parse().ok());
    let pages = pages.ok_or(io::ErrorKind::InvalidData)?;
    Ok(pages.saturating_mul(rustix::param::page_size() as u64))
}

fn compute(start: &Start, library: Option<&Library>, confinement: Confinement) -> io::Result<()> {
    let Some(Order::Load { bytes }) = next()? else { return Err(io::ErrorKind::InvalidData.into()) };
    let model = match load(start, library, bytes) {
        Ok(model) => model,
        Err((refusal, text)) => return say(&Said::Refused(refusal, text)),
    };
    let described = Said::Described(confinement, model.description().clone());
    if let Err(text) = can_be_told(model.description(), &described) {
        return say(&Said::Refused(Refusal::Model, text));
    }
    if start.look_only {
        return say(&described);
    }
    let mut session = match model.session() {
        Ok(session) => session,
        Err(error) => return say(&Said::Refused(Refusal::Model, error.text)),
    };
    say(&described)?;
    while let Some(order) = next_soon()? {
        match order {
            Order::Run { within, inputs } => say(&run(session.as_mut(), start, Instant::now() + within, inputs)?)?,
            Order::Stop => {}
            Order::Start(_) | Order::Load { .. } => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(())
}

fn load(start: &Start, library: Option<&Library>, bytes: u64) -> Result<Box<dyn Loaded>, (Refusal, String)> {
    let length = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut model = Vec::new();
    if model.try_reserve_exact(length).is_err() {
        return Err((Refusal::Memory, String::new()));
    }
    model.resize(length, 0);
    memory::read(io::stdout().as_fd(), &mut model, 0).map_err(|error| (Refusal::Child, error.to_string()))?;
    let loaded: Result<Box<dyn Loaded>, LoadError> = match (start.backend, library) {
        (Backend::Onnxruntime { provider, threads }, Some(library)) => {
            library.model(&model, &start.shapes, provider, threads).map(|model| Box::new(model) as Box<dyn Loaded>)
        }
        (Backend::Tract { precision }, _) => {
            TractModel::load(&model, &start.shapes, precision).map(|model| Box::new(model) as Box<dyn Loaded>)
        }
        (Backend::Onnxruntime { .. }, None) => Err(LoadError::Library("its library was not loaded".into())),
    };
    loaded.map_err(|error| match error {
        LoadError::Refused(text) if is_out_of_memory(&text) => (Refusal::Memory, text),
        LoadError::Shapes(text) => (Refusal::Shapes, text),
        LoadError::Library(text) => (Refusal::Library, text),
        other => (Refusal::Model, other.to_string()),
    })
}

fn can_be_told(description: &Description, said: &Said) -> Result<(), String> {
    for ports in [&description.inputs, &description.outputs] {
        if ports.len() > MODEL_PORTS {
            return Err(format!("it has {} inputs or outputs, and {MODEL_PORTS} of each are the most", ports.len()));
        }
        if let Some(port) = ports.iter().find(|port| port.dimensions.len() > TENSOR_DIMENSIONS) {
            let (name, count) = (port.name.escape_debug(), port.dimensions.len());
            return Err(format!("`{name}` has {count} dimensions, and {TENSOR_DIMENSIONS} are the most"));
        }
    }
    match said.frame().len() as u64 - Header::BYTES as u64 {
        0..=SAID_BYTES => Ok(()),
        _ => Err("its inputs and outputs have names that are too long to be told".into()),
    }
}

/// Backends say it in words only: Rust's, C++'s, those of tract's tensors and of onnxruntime's arena.
fn is_out_of_memory(text: &str) -> bool {
    ["memory allocation of", "bad_alloc", "failed to allocate", "Failed to allocate", "Available memory of"]
        .iter()
        .any(|words| text.contains(words))
}

fn run(session: &mut dyn Session, start: &Start, until: Instant, inputs: Vec<Layout>) -> io::Result<Said> {
    let inputs = memory::tensors(io::stdout().as_fd(), inputs)?;
    let outputs = match session.run(inputs, until, &stop_was_said) {
        Ok(outputs) => outputs,
        Err(error) if is_out_of_memory(&error.text) => {
            let (limit, words) = (start.memory, error.text);
            let text = format!("it needed more than the {limit} bytes that are its `memory`: {words}");
            return Ok(Said::Failed(InferenceError::new(ErrorKind::TooLarge, text)));
        }
        Err(error) => return Ok(Said::Failed(error)),
    };
    give(start, &outputs)
}

fn give(start: &Start, outputs: &Named) -> io::Result<Said> {
    let outputs = || outputs.iter().map(|(_, tensor)| tensor);
    let layouts = memory::layouts(outputs());
    let limit = start.memory;
    match memory::bytes_of(&layouts) {
        Ok(bytes) if bytes <= limit => {}
        _ => {
            let text = format!("its outputs are larger than the {limit} bytes that are its `memory`");
            return Ok(Said::Failed(InferenceError::new(ErrorKind::TooLarge, text)));
        }
    }
    memory::write(io::stdout().as_fd(), outputs().map(Tensor::data))?;
    Ok(Said::Computed(layouts))
}

/// Whether there is anything to read: while something is computed that can only be the order to stop, or the parent's end.
fn stop_was_said() -> bool {
    // A process that may open no files may not `poll` either.
    recv(io::stdin(), &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT).is_ok()
}

/// The next order, looked out for before it is waited for.
fn next_soon() -> io::Result<Option<Order>> {
    let idle_since = Instant::now();
    while idle_since.elapsed() < LOOK_OUT && !stop_was_said() {
        thread::yield_now();
    }
    next()
}

/// The next order; none when the parent has closed its end.
fn next() -> io::Result<Option<Order>> {
    let mut header = [0; Header::BYTES];
    match receive(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let header = Header::read(&header)?;
    let mut body = vec![0; usize::try_from(header.bytes).unwrap_or(usize::MAX)];
    receive(&mut body)?;
    Order::read(header, &body).map(Some)
}

/// Not by the buffer of standard input, which would take what `stop_was_said` looks for.
struct Stdin;

impl Read for Stdin {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(io::stdin(), into)?)
    }
}

fn receive(into: &mut [u8]) -> io::Result<()> {
    Stdin.read_exact(into)
}

/// Standard input is the socket, whose two directions are one.
fn say(said: &Said) -> io::Result<()> {
    let frame = said.frame();
    let mut left = frame.as_slice();
    while !left.is_empty() {
        match rustix::io::write(io::stdin(), left) {
            Ok(count) => left = left.get(count..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use edgewit_domain::model::{Dimension, Port, PortType};
    use edgewit_domain::tensor::TensorType;

    use super::*;

    /// Inputs, dimensions and bytes of the name of each, and what is said of them.
    #[test]
    fn what_cannot_be_told_is_refused_with_its_cause() {
        for (ports, dimensions, name, said) in [
            (MODEL_PORTS, TENSOR_DIMENSIONS, 10, None),
            (MODEL_PORTS + 1, 1, 10, Some("it has 65 inputs or outputs, and 64 of each are the most")),
            (1, TENSOR_DIMENSIONS + 1, 1, Some("`x` has 17 dimensions, and 16 are the most")),
            (1, 1, SAID_BYTES as usize, Some("names that are too long")),
        ] {
            let dimensions = vec![Dimension::Fixed(1); dimensions];
            let port = Port { name: "x".repeat(name).into(), ty: PortType::Tensor(TensorType::F32), dimensions };
            let description =
                Description { inputs: vec![port; ports], outputs: Vec::new(), parameters: 0, planned: None };
            let told = can_be_told(&description, &Said::Described(Confinement::Full, description.clone()));
            match (told, said) {
                (Ok(()), None) => {}
                (Err(text), Some(said)) => assert!(text.contains(said), "{text}"),
                (other, _) => panic!("{other:?}"),
            }
        }
    }
}
