//! Models with what they should say, and what a test sees of this process's children.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use edgewit_domain::config::{Backend, Precision, Provider};
use edgewit_domain::limits::MIB;
use edgewit_domain::model::{InferenceError, Named};
use edgewit_domain::tensor::{Tensor, TensorType};
use edgewit_inference::session::{Loaded, Session};
use edgewit_inference::worker::{Limits, Remote, Work};
use edgewit_inference::{Kit, LoadError};
use edgewit_worker::WorkerCommand;
use half::f16;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub const WORKER: &str = env!("CARGO_BIN_EXE_inference-worker");
pub const TRACT: Backend = Backend::Tract { precision: Precision::Full };
pub const ONNXRUNTIME: Backend = Backend::Onnxruntime { provider: Provider::Cpu, threads: 1 };
pub const LIMITS: Limits = Limits { memory: 64 * MIB, load: Duration::from_secs(30) };

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub fn model(file: &str) -> Arc<Vec<u8>> {
    let path = repository().join("models").join(file);
    Arc::new(fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// All that were made to hurt.
pub fn bad() -> Vec<String> {
    let files = repository().join("models/bad").read_dir().unwrap().map(|file| file.unwrap().file_name());
    let mut all: Vec<String> = files.map(|file| format!("bad/{}", file.to_str().unwrap())).collect();
    all.sort();
    assert!(all.len() > 30, "{all:?}");
    all
}

pub fn kit() -> Kit {
    Kit { worker: WorkerCommand { program: WORKER.into(), args: Vec::new() }, onnxruntime: None }
}

pub fn kit_with_onnxruntime() -> Kit {
    Kit { onnxruntime: Some(library()), ..kit() }
}

/// Where `cargo xtask setup` puts it.
fn library() -> PathBuf {
    let library = repository().join("target/onnxruntime/libonnxruntime.so");
    assert!(library.is_file(), "there is no {}: run cargo xtask setup", library.display());
    library
}

pub fn work(backend: Backend) -> Work {
    Work { backend, shapes: BTreeMap::new(), look_only: false }
}

pub fn start(backend: Backend, file: &str, limits: Limits) -> Result<Remote, LoadError> {
    let kit = match backend {
        Backend::Tract { .. } => kit(),
        Backend::Onnxruntime { .. } => kit_with_onnxruntime(),
    };
    Remote::start(&work(backend), model(file), limits, &kit)
}

pub fn session(remote: &Remote) -> Box<dyn Session> {
    remote.session().unwrap()
}

pub fn run(session: &mut dyn Session, inputs: Vec<Tensor>, within: Duration) -> Result<Named, InferenceError> {
    session.run(inputs, Instant::now() + within, &|| false)
}

pub fn floats(dimensions: &[u32], value: f32) -> Tensor {
    let mut tensor = Tensor::zeros(TensorType::F32, dimensions.to_vec()).unwrap();
    tensor.data_mut().as_chunks_mut().0.iter_mut().for_each(|element| *element = value.to_ne_bytes());
    tensor
}

/// One inference, and what onnxruntime said of it.
pub struct Case {
    pub model: String,
    pub inputs: Named,
    pub outputs: Named,
    absolute: f64,
    relative: f64,
}

pub fn cases() -> Vec<Case> {
    let file: Value = serde_json::from_slice(&model("reference.json")).unwrap();
    let mut all = Vec::new();
    for (name, model) in file["models"].as_object().unwrap() {
        for case in model["cases"].as_array().unwrap() {
            let named = |key: &str| case[key].as_array().unwrap().iter().map(tensor).collect();
            all.push(Case {
                model: name.clone(),
                inputs: named("inputs"),
                outputs: named("outputs"),
                absolute: model["absolute"].as_f64().unwrap(),
                relative: model["relative"].as_f64().unwrap(),
            });
        }
    }
    assert!(all.len() > 20, "the reference is of {} inferences only", all.len());
    all
}

impl Case {
    pub fn check(&self, said: &Named) {
        assert_eq!(said.len(), self.outputs.len(), "{}", self.model);
        for ((name, tensor), (wanted_name, wanted)) in said.iter().zip(&self.outputs) {
            let shape = |tensor: &Tensor| (tensor.ty(), tensor.dimensions().to_vec());
            assert_eq!((name, shape(tensor)), (wanted_name, shape(wanted)), "{}", self.model);
            for (one, wanted) in numbers(tensor).into_iter().zip(numbers(wanted)) {
                let near = (one - wanted).abs() <= self.absolute + self.relative * wanted.abs();
                assert!(near, "{}: `{name}` has {one} and should have {wanted}", self.model);
            }
        }
    }
}

fn tensor(value: &Value) -> (Arc<str>, Tensor) {
    let numbers = || value["data"].as_array().unwrap().iter();
    let float = |number: &Value| number.as_f64().unwrap();
    let whole = |number: &Value| number.as_i64().unwrap();
    let (ty, data): (TensorType, Vec<u8>) = match value["type"].as_str().unwrap() {
        "fp16" => (TensorType::F16, numbers().flat_map(|n| f16::from_f64(float(n)).to_ne_bytes()).collect()),
        "fp32" => (TensorType::F32, numbers().flat_map(|n| (float(n) as f32).to_ne_bytes()).collect()),
        "fp64" => (TensorType::F64, numbers().flat_map(|n| float(n).to_ne_bytes()).collect()),
        "u8" => (TensorType::U8, numbers().map(|n| whole(n) as u8).collect()),
        "i32" => (TensorType::I32, numbers().flat_map(|n| (whole(n) as i32).to_ne_bytes()).collect()),
        "i64" => (TensorType::I64, numbers().flat_map(|n| whole(n).to_ne_bytes()).collect()),
        other => panic!("{other}"),
    };
    let shape = value["shape"].as_array().unwrap().iter().map(|size| size.as_u64().unwrap() as u32).collect();
    (value["name"].as_str().unwrap().into(), Tensor::new(ty, shape, &data).unwrap())
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let data = tensor.data();
    match tensor.ty() {
        TensorType::F16 => data.as_chunks().0.iter().map(|b| f16::from_ne_bytes(*b).to_f64()).collect(),
        TensorType::F32 => data.as_chunks().0.iter().map(|b| f64::from(f32::from_ne_bytes(*b))).collect(),
        TensorType::F64 => data.as_chunks().0.iter().map(|b| f64::from_ne_bytes(*b)).collect(),
        TensorType::U8 => data.iter().map(|b| f64::from(*b)).collect(),
        TensorType::I32 => data.as_chunks().0.iter().map(|b| f64::from(i32::from_ne_bytes(*b))).collect(),
        TensorType::I64 => data.as_chunks().0.iter().map(|b| i64::from_ne_bytes(*b) as f64).collect(),
        TensorType::Bf16 => panic!("the reference has none"),
    }
}

pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_or(what, look).unwrap_or_else(|error| panic!("{error}"))
}

pub fn until_or<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match look() {
            Some(found) => return Ok(found),
            None if Instant::now() > deadline => return Err(format!("waited in vain for: {what}")),
            None => thread::yield_now(),
        }
    }
}

/// Children of this process, whichever thread started them.
pub fn children() -> Vec<u32> {
    let own = std::process::id();
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(own)).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Open files of this process.
pub fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

pub fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
}

/// Of a process or a thread, by its folder.
pub fn cpu_ticks(folder: &Path) -> Option<u64> {
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(11)?.parse().ok()
}
