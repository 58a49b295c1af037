//! A model called directly, from bytes to bytes, as somebody would who needs neither a sandbox nor a limit.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Barrier, OnceLock};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::TensorRef;
use tract_onnx::prelude::*;

use super::{Backend, INPUT, Subject, library};

pub struct Direct {
    engine: Engine,
    shape: &'static [usize],
    bytes: Vec<u8>,
}

enum Engine {
    Tract(Arc<TypedRunnableModel>),
    Onnxruntime(Session),
}

impl Direct {
    pub fn load(file: &Path, subject: &Subject, backend: Backend) -> Result<Direct> {
        let bytes = vec![0; subject.shape.iter().product::<usize>() * size_of::<f32>()];
        let engine = match backend {
            Backend::Tract => Engine::Tract(tract(file, subject)?),
            Backend::Onnxruntime => {
                let session = session(&fs::read(file)?).map_err(|error| anyhow!("{error}"))?;
                Engine::Onnxruntime(session)
            }
        };
        Ok(Direct { engine, shape: subject.shape, bytes })
    }

    /// Seconds that so many inferences take.
    pub fn run(&mut self, times: usize) -> Result<f64> {
        let started = Instant::now();
        for _ in 0..times {
            std::hint::black_box(self.once()?);
        }
        Ok(started.elapsed().as_secs_f64())
    }

    fn once(&mut self) -> Result<Vec<u8>> {
        match &mut self.engine {
            Engine::Tract(plan) => by_tract(plan, self.shape, &self.bytes),
            Engine::Onnxruntime(session) => {
                let numbers: Vec<f32> =
                    self.bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect();
                let input = TensorRef::from_array_view((self.shape, &*numbers)).map_err(|error| anyhow!("{error}"))?;
                let outputs = session.run(ort::inputs![INPUT => input]).map_err(|error| anyhow!("{error}"))?;
                let (_, output) = outputs.values().next().context("an output").and_then(|value| {
                    value
                        .try_extract_tensor::<f32>()
                        .map(|(shape, data)| (shape.len(), data.to_vec()))
                        .map_err(|error| anyhow!("{error}"))
                })?;
                Ok(output.iter().flat_map(|number| number.to_ne_bytes()).collect())
            }
        }
    }
}

fn session(model: &[u8]) -> ort::Result<Session> {
    /// A process has one.
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    let environment = match ENVIRONMENT.get() {
        Some(environment) => environment,
        None => {
            let made = ort::init_from(library()).map_err(|error| ort::Error::new(error.to_string()))?;
            let made = made.with_name("bench").with_telemetry(false).build()?;
            ENVIRONMENT.get_or_init(|| made)
        }
    };
    Session::builder(environment)?.with_intra_threads(1)?.commit_from_memory(model)
}

fn tract(file: &Path, subject: &Subject) -> Result<Arc<TypedRunnableModel>> {
    let mut model = onnx().model_for_path(file).map_err(|error| anyhow!("{error:?}"))?;
    model.set_input_fact(0, f32::fact(subject.shape).into()).map_err(|error| anyhow!("{error:?}"))?;
    model.into_optimized().and_then(|model| model.into_runnable()).map_err(|error| anyhow!("{error:?}"))
}

fn by_tract(plan: &Arc<TypedRunnableModel>, shape: &[usize], bytes: &[u8]) -> Result<Vec<u8>> {
    let numbers: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect();
    let input = Tensor::from_shape(shape, &numbers).map_err(|error| anyhow!("{error:?}"))?;
    let outputs = plan.run(tvec!(input.into())).map_err(|error| anyhow!("{error:?}"))?;
    Ok(outputs.first().context("an output")?.as_bytes().to_vec())
}

/// Seconds in which as many threads each compute so often, by tract.
pub fn together(file: &Path, subject: &Subject, threads: usize, times: usize) -> Result<f64> {
    let plan = tract(file, subject)?;
    let bytes = vec![0; subject.shape.iter().product::<usize>() * size_of::<f32>()];
    let begin = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        let compute = || -> Result<()> {
            begin.wait();
            (0..times).try_for_each(|_| by_tract(&plan, subject.shape, &bytes).map(drop))
        };
        let computing: Vec<_> = (0..threads).map(|_| scope.spawn(compute)).collect();
        begin.wait();
        let started = Instant::now();
        for thread in computing {
            thread.join().map_err(|_| anyhow!("who computes panicked"))??;
        }
        Ok(started.elapsed().as_secs_f64())
    })
}
