//! What passes through the socket between the gateway and a child that computes.
//!
//! Both ends are the same binary, so there are no versions, and numbers are in the machine's own order. The gateway reads a
//! header of fixed size and decides from it; it never sizes a buffer by what the child says beyond [`SAID_BYTES`], and
//! counts nothing beyond what a model may have.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::config::{Backend, Precision, Provider};
use edgewit_domain::limits::{KIB, MODEL_PORTS, TENSOR_DIMENSIONS};
use edgewit_domain::model::{Description, Dimension, ErrorKind, InferenceError, Planned, Port, PortType};
use edgewit_domain::tensor::TensorType;
use edgewit_worker::Confinement;

use crate::shapes::Shapes;

/// What follows a header of the child's. A model that cannot be described in so much is refused.
pub(super) const SAID_BYTES: u64 = 256 * KIB;
const MAGIC: u64 = u64::from_ne_bytes(*b"edgewit\x02");

/// What the child is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Start(Start),
    /// So many bytes in the memory are the model.
    Load {
        bytes: u64,
    },
    /// The inputs lie in the memory one after the other.
    Run {
        within: Duration,
        inputs: Vec<Layout>,
    },
    /// Nobody waits for the result any more. Means nothing where nothing is computed.
    Stop,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// The process that the child must not outlive.
    pub(super) parent: u64,
    pub(super) memory: u64,
    pub(super) backend: Backend,
    /// The path of onnxruntime's library, where it is needed.
    pub(super) library: Vec<u8>,
    pub(super) shapes: Shapes,
    pub(super) look_only: bool,
}

/// A tensor without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) ty: TensorType,
    pub(super) dimensions: Vec<u32>,
}

/// What the child says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Described(Confinement, Description),
    /// There will be no model.
    Refused(Refusal, String),
    /// The outputs lie in the memory one after the other, in the description's order.
    Computed(Vec<Layout>),
    Failed(InferenceError),
}

/// Why there will be no model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Model,
    /// What was configured for the model.
    Shapes,
    Memory,
    Library,
    /// The child itself could not get ready.
    Child,
}

/// What stands before everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    kind: u64,
    pub(super) bytes: u64,
}

impl Header {
    pub(super) const BYTES: usize = 24;

    pub(super) fn read(bytes: &[u8; Header::BYTES]) -> io::Result<Header> {
        let mut bytes = Bytes(bytes);
        match (bytes.number()?, bytes.number()?, bytes.number()?) {
            (MAGIC, kind, bytes) => Ok(Header { kind, bytes }),
            _ => garbled(),
        }
    }
}

impl Order {
    pub(super) fn frame(&self) -> Vec<u8> {
        let mut body = Body::default();
        let kind = match self {
            Order::Start(start) => {
                body.start(start);
                0
            }
            Order::Load { bytes } => {
                body.number(*bytes);
                1
            }
            Order::Run { within, inputs } => {
                body.number(u64::try_from(within.as_nanos()).unwrap_or(u64::MAX));
                body.list(inputs, Body::layout);
                2
            }
            Order::Stop => 3,
        };
        body.framed(kind)
    }

    pub(super) fn read(header: Header, body: &[u8]) -> io::Result<Order> {
        let mut body = Bytes(body);
        Ok(match header.kind {
            0 => Order::Start(body.start()?),
            1 => Order::Load { bytes: body.number()? },
            2 => Order::Run {
                within: Duration::from_nanos(body.number()?),
                inputs: body.list(MODEL_PORTS, Bytes::layout)?,
            },
            3 => Order::Stop,
            _ => return garbled(),
        })
    }
}

impl Said {
    pub(super) fn frame(&self) -> Vec<u8> {
        let mut body = Body::default();
        let kind = match self {
            Said::Described(confinement, description) => {
                body.number(code(&CONFINEMENTS, confinement));
                body.description(description);
                0
            }
            Said::Refused(refusal, text) => {
                body.number(code(&REFUSALS, refusal));
                body.text(short(text));
                1
            }
            Said::Computed(outputs) => {
                body.list(outputs, Body::layout);
                2
            }
            Said::Failed(error) => {
                body.number(code(&ERRORS, &error.kind));
                body.text(short(&error.text));
                3
            }
        };
        body.framed(kind)
    }

    pub(super) fn read(header: Header, body: &[u8]) -> io::Result<Said> {
        let mut body = Bytes(body);
        Ok(match header.kind {
            0 => Said::Described(body.one_of(&CONFINEMENTS)?, body.description()?),
            1 => Said::Refused(body.one_of(&REFUSALS)?, body.text()?.to_owned()),
            2 => Said::Computed(body.list(MODEL_PORTS, Bytes::layout)?),
            3 => Said::Failed(InferenceError::new(body.one_of(&ERRORS)?, body.text()?)),
            _ => return garbled(),
        })
    }
}

const CONFINEMENTS: [Confinement; 3] = [Confinement::None, Confinement::Partial, Confinement::Full];
const REFUSALS: [Refusal; 5] = [Refusal::Model, Refusal::Shapes, Refusal::Memory, Refusal::Library, Refusal::Child];
const ERRORS: [ErrorKind; 9] = [
    ErrorKind::Argument,
    ErrorKind::Encoding,
    ErrorKind::Timeout,
    ErrorKind::Busy,
    ErrorKind::TooLarge,
    ErrorKind::NotFound,
    ErrorKind::Denied,
    ErrorKind::Unsupported,
    ErrorKind::Runtime,
];

fn code<T: PartialEq>(all: &[T], one: &T) -> u64 {
    // Past the end where it is missing, which the other side takes for garbled.
    all.iter().position(|other| other == one).unwrap_or(all.len()) as u64
}

/// As much of a text as is told.
fn short(text: &str) -> &str {
    text.get(..text.floor_char_boundary(4 * KIB as usize)).unwrap_or_default()
}

fn garbled<T>() -> io::Result<T> {
    Err(io::ErrorKind::InvalidData.into())
}

#[derive(Default)]
struct Body(Vec<u8>);

impl Body {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_ne_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn list<T>(&mut self, all: &[T], mut one: impl FnMut(&mut Body, &T)) {
        self.number(all.len() as u64);
        all.iter().for_each(|item| one(self, item));
    }

    fn layout(&mut self, layout: &Layout) {
        self.number(code(&TensorType::ALL, &layout.ty));
        self.list(&layout.dimensions, |body, size| body.number(u64::from(*size)));
    }

    fn start(&mut self, start: &Start) {
        let backend = match start.backend {
            Backend::Tract { precision: Precision::Full } => [0, 0, 0],
            Backend::Tract { precision: Precision::Half } => [0, 1, 0],
            Backend::Onnxruntime { provider: Provider::Cpu, threads } => [1, 0, threads],
            Backend::Onnxruntime { provider: Provider::Cuda, threads } => [1, 1, threads],
        };
        for number in [start.parent, start.memory, u64::from(start.look_only)].into_iter().chain(backend) {
            self.number(number);
        }
        self.bytes(&start.library);
        self.number(start.shapes.len() as u64);
        for (name, sizes) in &start.shapes {
            self.text(name);
            self.list(sizes, |body, size| body.number(u64::from(*size)));
        }
    }

    fn description(&mut self, description: &Description) {
        let [is, resting, running] =
            description.planned.map_or([0; 3], |planned| [1, planned.resting, planned.running]);
        for number in [description.parameters, is, resting, running] {
            self.number(number);
        }
        for ports in [&description.inputs, &description.outputs] {
            self.list(ports, Body::port);
        }
    }

    fn port(&mut self, port: &Port) {
        self.text(&port.name);
        match &port.ty {
            PortType::Tensor(ty) => self.number(code(&TensorType::ALL, ty)),
            PortType::Other(name) => {
                self.number(u64::MAX);
                self.text(name);
            }
        }
        self.list(&port.dimensions, |body, dimension| match dimension {
            Dimension::Fixed(size) => body.number(u64::from(*size)),
            Dimension::Any(name) => {
                body.number(u64::MAX);
                body.text(name);
            }
        });
    }

    fn framed(self, kind: u64) -> Vec<u8> {
        let mut frame = Vec::with_capacity(Header::BYTES + self.0.len());
        for number in [MAGIC, kind, self.0.len() as u64] {
            frame.extend_from_slice(&number.to_ne_bytes());
        }
        frame.extend_from_slice(&self.0);
        frame
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn number(&mut self) -> io::Result<u64> {
        let Some((number, rest)) = self.0.split_first_chunk() else { return garbled() };
        self.0 = rest;
        Ok(u64::from_ne_bytes(*number))
    }

    fn bytes(&mut self) -> io::Result<&'a [u8]> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let Some((bytes, rest)) = self.0.split_at_checked(length) else { return garbled() };
        self.0 = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> io::Result<&'a str> {
        str::from_utf8(self.bytes()?).or_else(|_| garbled())
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> io::Result<T> {
        let place = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        all.get(place).copied().map_or_else(garbled, Ok)
    }

    fn list<T>(&mut self, most: usize, mut one: impl FnMut(&mut Self) -> io::Result<T>) -> io::Result<Vec<T>> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if count > most {
            return garbled();
        }
        (0..count).map(|_| one(self)).collect()
    }

    fn size(&mut self) -> io::Result<u32> {
        u32::try_from(self.number()?).or_else(|_| garbled())
    }

    fn layout(&mut self) -> io::Result<Layout> {
        Ok(Layout { ty: self.one_of(&TensorType::ALL)?, dimensions: self.list(TENSOR_DIMENSIONS, Bytes::size)? })
    }

    fn start(&mut self) -> io::Result<Start> {
        let (parent, memory, look_only) = (self.number()?, self.number()?, self.number()? == 1);
        let backend = match (self.number()?, self.number()?, self.number()?) {
            (0, 0, _) => Backend::Tract { precision: Precision::Full },
            (0, 1, _) => Backend::Tract { precision: Precision::Half },
            (1, 0, threads) => Backend::Onnxruntime { provider: Provider::Cpu, threads },
            (1, 1, threads) => Backend::Onnxruntime { provider: Provider::Cuda, threads },
            _ => return garbled(),
        };
        let library = self.bytes()?.to_vec();
        let shape = |body: &mut Self| Ok((Arc::from(body.text()?), body.list(TENSOR_DIMENSIONS, Bytes::size)?));
        let shapes = self.list(usize::MAX, shape)?.into_iter().collect();
        Ok(Start { parent, memory, backend, library, shapes, look_only })
    }

    fn description(&mut self) -> io::Result<Description> {
        let parameters = self.number()?;
        let (is, resting, running) = (self.number()?, self.number()?, self.number()?);
        let planned = (is == 1).then_some(Planned { resting, running });
        let (inputs, outputs) = (self.list(MODEL_PORTS, Bytes::port)?, self.list(MODEL_PORTS, Bytes::port)?);
        Ok(Description { inputs, outputs, parameters, planned })
    }

    fn port(&mut self) -> io::Result<Port> {
        let name = self.text()?.into();
        let ty = match self.number()? {
            u64::MAX => PortType::Other(self.text()?.into()),
            code => {
                let ty = usize::try_from(code).ok().and_then(|code| TensorType::ALL.get(code));
                PortType::Tensor(ty.copied().map_or_else(garbled, Ok)?)
            }
        };
        let dimension = |body: &mut Self| match body.number()? {
            u64::MAX => Ok(Dimension::Any(body.text()?.into())),
            size => u32::try_from(size).map(Dimension::Fixed).or_else(|_| garbled()),
        };
        Ok(Port { name, ty, dimensions: self.list(TENSOR_DIMENSIONS, dimension)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(frame: &[u8], read: impl Fn(Header, &[u8]) -> io::Result<T>) -> io::Result<T> {
        let (header, body) = frame.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
        let header = Header::read(header)?;
        read(header, body)
    }

    fn description() -> Description {
        let dimensions = vec![Dimension::Fixed(u32::MAX), Dimension::Any("batch".into()), Dimension::Any("".into())];
        let port = |name: &str, ty| Port { name: name.into(), ty, dimensions: dimensions.clone() };
        Description {
            inputs: TensorType::ALL.map(|ty| port("x", PortType::Tensor(ty))).to_vec(),
            outputs: vec![port("", PortType::Other("sequence".into()))],
            parameters: u64::MAX,
            planned: Some(Planned { resting: 1, running: 2 }),
        }
    }

    fn said() -> Vec<Said> {
        let layout = Layout { ty: TensorType::Bf16, dimensions: vec![1; TENSOR_DIMENSIONS] };
        let mut all = vec![
            Said::Described(Confinement::Full, description()),
            Said::Described(Confinement::None, Description { planned: None, ..description() }),
            Said::Computed(vec![layout; MODEL_PORTS]),
            Said::Computed(Vec::new()),
        ];
        all.extend(REFUSALS.map(|refusal| Said::Refused(refusal, "why".into())));
        all.extend(ERRORS.map(|kind| Said::Failed(InferenceError::new(kind, "why"))));
        all
    }

    #[test]
    fn what_is_said_is_heard() {
        for said in said() {
            assert_eq!(read(&said.frame(), Said::read).unwrap(), said);
        }
        let backends = [
            Backend::Tract { precision: Precision::Full },
            Backend::Tract { precision: Precision::Half },
            Backend::Onnxruntime { provider: Provider::Cpu, threads: 7 },
            Backend::Onnxruntime { provider: Provider::Cuda, threads: 1 },
        ];
        let shapes = Shapes::from([(Arc::from("x"), vec![1, 2]), (Arc::from("y"), Vec::new())]);
        let start = |backend| {
            let (shapes, library) = (shapes.clone(), b"/lib/\xff".to_vec());
            Order::Start(Start { parent: 7, memory: 9, backend, library, shapes, look_only: true })
        };
        let mut orders = backends.map(start).to_vec();
        let inputs = vec![Layout { ty: TensorType::U8, dimensions: Vec::new() }];
        orders.extend([Order::Load { bytes: 3 }, Order::Run { within: Duration::from_micros(5), inputs }, Order::Stop]);
        for order in orders {
            assert_eq!(read(&order.frame(), Order::read).unwrap(), order);
        }
    }

    #[test]
    fn what_makes_no_sense_is_an_error_and_takes_no_memory() {
        for said in said() {
            let frame = said.frame();
            for length in 0..frame.len() {
                assert!(read(frame.get(..length).unwrap(), Said::read).is_err());
            }
            // Any number may be the largest there is: a count, a length, a kind.
            for at in (0..frame.len().saturating_sub(8)).step_by(4) {
                let mut frame = frame.clone();
                frame.get_mut(at..at + 8).unwrap().fill(0xff);
                if let Ok(Said::Computed(layouts)) = read(&frame, Said::read) {
                    assert!(layouts.len() <= MODEL_PORTS);
                }
            }
        }
        let many = Layout { ty: TensorType::U8, dimensions: vec![1; TENSOR_DIMENSIONS + 1] };
        assert!(read(&Said::Computed(vec![many]).frame(), Said::read).is_err());
        let few = Layout { ty: TensorType::U8, dimensions: Vec::new() };
        assert!(read(&Said::Computed(vec![few; MODEL_PORTS + 1]).frame(), Said::read).is_err());
    }

    #[test]
    fn a_long_text_is_cut_where_a_letter_ends() {
        let text = "ä".repeat(5000);
        let Said::Refused(_, told) = read(&Said::Refused(Refusal::Model, text).frame(), Said::read).unwrap() else {
            panic!("something else was heard")
        };
        assert_eq!(told, "ä".repeat(2048));
    }
}
