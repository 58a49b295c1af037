//! What a model takes: the same inference again and again, from as many threads as are asked for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use edgewit_domain::model::{Dimension, Named, Port, PortType};
use edgewit_domain::tensor::{Tensor, TensorType};
use edgewit_worker::WorkerCommand;
use half::{bf16, f16};
use serde::Serialize;

use super::{ModelError, configured};
use crate::error::panic_words;
use crate::models::{LoadedModel, ModelSource};

/// How often whoever watches is told.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// The model's own limit comes before.
const LONGEST: Duration = Duration::from_hours(24);
/// Times that are kept; of more, some stand for all.
const TIMES: usize = 1_000_000;

/// A loaded model, ready to be asked.
pub struct Bench {
    loaded: LoadedModel,
    instances: u64,
    load_time: Duration,
}

/// What is asked of it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub until: Until,
    /// That ask at once.
    pub threads: u64,
    /// Values are chosen by this; zeros where there is none.
    pub seed: Option<u64>,
    /// Of inputs whose dimensions the model leaves open; 1 for each that is not here.
    pub shapes: BTreeMap<Arc<str>, Vec<u32>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Over(Duration),
    Count(u64),
}

/// What came of it. Times are those of whoever asks, waiting included.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    pub runs: u64,
    pub failures: u64,
    /// What the first of them said.
    pub failure: Option<String>,
    pub threads: u64,
    pub instances: u64,
    pub load_us: u64,
    pub elapsed_us: u64,
    pub mean_us: u64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
    pub per_second: f64,
    /// Bytes that it takes with all instances busy, as far as its backend can tell.
    pub planned_memory: Option<u64>,
}

impl Bench {
    /// Loads a model of a configuration, as a gateway would that is started with it.
    pub fn load(config: &Path, name: &str, worker: &WorkerCommand) -> Result<Bench, ModelError> {
        let (file, model, onnxruntime) = configured(config, name)?;
        let started = Instant::now();
        let loaded = ModelSource::new(&file, worker.clone()).load_configured(&model, &onnxruntime)?;
        let load_time = started.elapsed();
        Ok(Bench { loaded, instances: model.instances, load_time })
    }

    /// Asks until there is enough, and tells from time to time how many inferences there were.
    pub fn run(&self, asked: &Asked, mut watch: impl FnMut(u64)) -> Result<Figures, ModelError> {
        let inputs = self.inputs(asked)?;
        let started = Instant::now();
        let (left, over, done) = (AtomicU64::new(0), AtomicBool::new(false), AtomicU64::new(0));
        let most = match asked.until {
            Until::Count(count) => count,
            Until::Over(_) => u64::MAX,
        };
        let asks = || {
            let mut seen = Seen::default();
            while !over.load(Ordering::Relaxed) && left.fetch_add(1, Ordering::Relaxed) < most {
                let begun = Instant::now();
                let outcome = self.loaded.model.run(inputs.clone(), begun + LONGEST, &|| false);
                seen.note(begun.elapsed(), outcome.err().map(|error| error.text));
                done.fetch_add(1, Ordering::Relaxed);
            }
            seen
        };
        let seen: Result<Vec<Seen>, ModelError> = thread::scope(|scope| {
            let asking: Vec<_> = (0..asked.threads.max(1)).map(|_| scope.spawn(asks)).collect();
            let mut told = started;
            while !asking.iter().all(|thread| thread.is_finished()) {
                if matches!(asked.until, Until::Over(time) if started.elapsed() >= time) {
                    over.store(true, Ordering::Relaxed);
                }
                if told.elapsed() >= TOLD_EVERY {
                    told = Instant::now();
                    watch(done.load(Ordering::Relaxed));
                }
                thread::park_timeout(Duration::from_millis(5));
            }
            let seen = asking.into_iter().map(|thread| thread.join());
            seen.map(|seen| seen.map_err(|panic| ModelError::Refused(panic_words(&*panic)))).collect()
        });
        Ok(self.figures(seen?, asked.threads.max(1), started.elapsed()))
    }

    fn figures(&self, seen: Vec<Seen>, threads: u64, elapsed: Duration) -> Figures {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let mut all = Seen::default();
        seen.into_iter().for_each(|seen| all.add(seen));
        all.times.sort_unstable();
        let quantile = |percent: usize| {
            let place = (all.times.len() * percent).div_ceil(100).saturating_sub(1);
            all.times.get(place).copied().map(micros).unwrap_or_default()
        };
        let count = u32::try_from(all.runs).unwrap_or(u32::MAX).max(1);
        Figures {
            runs: all.runs,
            failures: all.failures,
            failure: all.failure,
            threads,
            instances: self.instances,
            load_us: micros(self.load_time),
            elapsed_us: micros(elapsed),
            mean_us: micros(all.sum / count),
            p50_us: quantile(50),
            p99_us: quantile(99),
            max_us: quantile(100),
            per_second: all.runs as f64 / elapsed.as_secs_f64(),
            planned_memory: self.loaded.model.description().planned.map(|planned| planned.with(self.instances)),
        }
    }

    fn inputs(&self, asked: &Asked) -> Result<Named, ModelError> {
        let ports = &self.loaded.model.description().inputs;
        if let Some(unknown) = asked.shapes.keys().find(|name| ports.iter().all(|port| port.name != **name)) {
            let known: Vec<String> = ports.iter().map(Port::to_string).collect();
            let (unknown, known) = (unknown.escape_debug(), known.join(", "));
            return Err(ModelError::Refused(format!("there is no input `{unknown}`; the model wants {known}")));
        }
        let mut random = asked.seed;
        ports
            .iter()
            .map(|port| Ok((port.name.clone(), input(port, asked.shapes.get(&port.name), &mut random)?)))
            .collect()
    }
}

fn input(port: &Port, shape: Option<&Vec<u32>>, random: &mut Option<u64>) -> Result<Tensor, ModelError> {
    let PortType::Tensor(ty) = port.ty else {
        return Err(ModelError::Refused(format!("the input {port} is of a type that no component can give it")));
    };
    let open = |dimension: &Dimension| match dimension {
        Dimension::Fixed(size) => *size,
        Dimension::Any(_) => 1,
    };
    let dimensions = shape.cloned().unwrap_or_else(|| port.dimensions.iter().map(open).collect());
    let refused = |error| ModelError::Refused(format!("the input {port}: {error}"));
    let mut tensor = Tensor::zeros(ty, dimensions).map_err(refused)?;
    if let Some(state) = random {
        tensor.data_mut().chunks_exact_mut(ty.size()).for_each(|element| choose(ty, element, state));
    }
    Ok(tensor)
}

/// Fractions from 0 to 1, and whole numbers from 0 to 255.
fn choose(ty: TensorType, element: &mut [u8], state: &mut u64) {
    let number = next(state);
    let fraction = (number >> 40) as f32 / (1 << 24) as f32;
    let whole = number.to_le_bytes().last().copied().unwrap_or_default();
    let mut write = |bytes: &[u8]| element.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    match ty {
        TensorType::F16 => write(&f16::from_f32(fraction).to_ne_bytes()),
        TensorType::Bf16 => write(&bf16::from_f32(fraction).to_ne_bytes()),
        TensorType::F32 => write(&fraction.to_ne_bytes()),
        TensorType::F64 => write(&f64::from(fraction).to_ne_bytes()),
        TensorType::U8 => write(&[whole]),
        TensorType::I32 => write(&i32::from(whole).to_ne_bytes()),
        TensorType::I64 => write(&i64::from(whole).to_ne_bytes()),
    }
}

/// The next of a sequence that looks chosen at random (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What one thread, or all of them, have seen.
#[derive(Default)]
struct Seen {
    runs: u64,
    failures: u64,
    failure: Option<String>,
    sum: Duration,
    /// Of as many runs as can be kept, evenly.
    times: Vec<Duration>,
    /// How often every other one of them was left out.
    halved: u32,
}

impl Seen {
    fn note(&mut self, time: Duration, failure: Option<String>) {
        if failure.is_some() {
            self.failures += 1;
            self.failure = self.failure.take().or(failure);
            return;
        }
        self.runs += 1;
        self.sum += time;
        if self.times.len() >= TIMES {
            let mut place = 0;
            self.times.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.halved += 1;
        }
        if self.runs.is_multiple_of(1 << self.halved) {
            self.times.push(time);
        }
    }

    fn add(&mut self, other: Seen) {
        self.runs += other.runs;
        self.failures += other.failures;
        self.failure = self.failure.take().or(other.failure);
        self.sum += other.sum;
        self.times.extend(other.times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_same_for_the_same_seed_and_within_their_range() {
        for ty in TensorType::ALL {
            let port =
                Port { name: "x".into(), ty: PortType::Tensor(ty), dimensions: vec![Dimension::Any("n".into())] };
            let made = |seed: u64| input(&port, Some(&vec![64]), &mut Some(seed)).unwrap();
            assert_eq!(made(1).data(), made(1).data());
            assert_ne!(made(1).data(), made(2).data());
            assert_eq!(input(&port, None, &mut None).unwrap().dimensions(), [1], "what is open is one");
        }
        let port = Port { name: "x".into(), ty: PortType::Tensor(TensorType::F32), dimensions: Vec::new() };
        let made = input(&port, Some(&vec![1000]), &mut Some(7)).unwrap();
        let (values, _) = made.data().as_chunks::<4>();
        assert!(values.iter().all(|value| (0.0..1.0).contains(&f32::from_ne_bytes(*value))));
    }
}
