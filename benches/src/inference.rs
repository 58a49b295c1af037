//! What it costs that a model computes for a component and not for whoever calls it directly, by both backends.
//!
//! A component runs the model many times in one handling, so that the message that told it to weighs nothing. Tensors go
//! out of the guest's memory and come back into it each time; whoever calls directly starts and ends with bytes, too.

mod direct;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use edgewit_domain::message::{Message, Origin};
use edgewit_domain::topic::{Filter, Topic};
use edgewit_gateway::{Gateway, Stream};

use crate::bed::{Folder, components};
use crate::dispatch::ROOMY;
use crate::figure::{Budget, Figure, quantile};
use crate::machine::{pss, undisturbed};
use direct::Direct;

const ROUNDS: usize = 11;
/// Short ones and many: the machine is faster at one moment than at the next.
const CALL_ROUNDS: usize = 41;
const PATIENCE: Duration = Duration::from_secs(120);
const SETTLED: Duration = Duration::from_millis(500);

/// A model, and how often it is run to be measured once.
struct Subject {
    name: &'static str,
    shape: &'static [usize],
    runs: usize,
}

/// What all of them call it.
const INPUT: &str = "x";
const MLP: Subject = Subject { name: "mlp", shape: &[1, 16], runs: 2000 };
const CNN: Subject = Subject { name: "cnn", shape: &[1, 3, 96, 96], runs: 24 };
const MOBILENET: Subject = Subject { name: "mobilenet", shape: &[1, 3, 224, 224], runs: 8 };

#[derive(Clone, Copy)]
enum Backend {
    Tract,
    Onnxruntime,
}

pub fn run() -> Result<Vec<Figure>> {
    let models = Models::made()?;
    let mut figures = calls(&models)?;
    figures.extend(sharing(&models)?);
    figures.extend(table(&models)?);
    figures.push(neighbours(&models)?);
    Ok(figures)
}

/// The models' files, and where the other engine is.
struct Models {
    folder: tempfile::TempDir,
}

impl Models {
    fn made() -> Result<Models> {
        let folder = tempfile::tempdir()?;
        let mut python = Command::new(python()?);
        python.args(["-B", "models/build.py", "--bench"]).arg(folder.path()).current_dir(root());
        ensure!(python.status()?.success(), "models/build.py failed");
        Ok(Models { folder })
    }

    fn file(&self, subject: &Subject) -> PathBuf {
        self.folder.path().join(format!("{}.onnx", subject.name))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn python() -> Result<PathBuf> {
    let python = root().join("target/onnxruntime/bin/python");
    ensure!(python.exists(), "onnxruntime is missing; run `cargo xtask setup`");
    Ok(python)
}

fn library() -> PathBuf {
    root().join("target/onnxruntime/libonnxruntime.so")
}

/// A gateway with users of one model.
fn folder(models: &Models, subject: &Subject, backend: Backend, users: usize, instances: usize) -> Result<Folder> {
    let folder = Folder::new("")?;
    fs::copy(models.file(subject), folder.path().join("model.onnx"))?;
    folder.configure(&configuration(subject, backend, users, instances)?)?;
    Ok(folder)
}

fn configuration(subject: &Subject, backend: Backend, users: usize, instances: usize) -> Result<String> {
    let backend = match backend {
        Backend::Tract => "tract",
        Backend::Onnxruntime => "onnxruntime",
    };
    let mut text = format!(
        "[onnxruntime]\nlibrary = {:?}\n[model.model]\nfile = \"model.onnx\"\nbackend = \"{backend}\"\n\
         instances = {instances}\nmemory = \"512MiB\"\ntime = \"60s\"\nshapes = {{ {INPUT} = {:?} }}\n",
        library(),
        subject.shape
    );
    for user in 0..users {
        text.push_str(&component(user, subject)?);
        writeln!(text, "[component.infer-{user}.grant.model]\nmodel = \"model\"")?;
    }
    Ok(text)
}

fn component(user: usize, subject: &Subject) -> Result<String> {
    let shape: Vec<String> = subject.shape.iter().map(usize::to_string).collect();
    let mut text = String::new();
    writeln!(text, "[component.infer-{user}]\nartifact = \"infer.wasm\"\nstateless = true")?;
    writeln!(text, "limits = {{ wall = \"600s\", memory = \"64MiB\" }}")?;
    writeln!(text, "config = {{ input = {INPUT:?}, shape = {:?} }}", shape.join(","))?;
    writeln!(text, "subscribe.in = {{ filter = \"infer/{user}\", delivery = \"live\" }}")?;
    writeln!(text, "grant.publish.out = \"infer/out\"")?;
    Ok(text)
}

/// Seconds in which a component runs a model so often.
fn through(gateway: &Gateway, answers: &Stream, users: usize, runs: usize) -> Result<f64> {
    let started = Instant::now();
    for user in 0..users {
        let ask = Message::new(Topic::parse(format!("infer/{user}"))?, runs.to_string().into_bytes());
        gateway.hub().publish(ask, Origin::Operator, None)?;
    }
    let mut left = users;
    while left > 0 {
        ensure!(started.elapsed() < PATIENCE, "the model did not answer");
        left -= answers.wait(left, Duration::from_secs(1)).len();
    }
    Ok(started.elapsed().as_secs_f64())
}

fn answers(gateway: &Gateway) -> Result<Stream> {
    Ok(gateway.hub().subscribe(vec![Filter::parse("infer/out")?], ROOMY))
}

/// Microseconds an inference: through a component, and directly.
fn rounds(models: &Models, subject: &Subject, backend: Backend) -> Result<Vec<(f64, f64)>> {
    let folder = folder(models, subject, backend, 1, 1)?;
    let gateway = folder.start()?;
    let answers = answers(&gateway)?;
    let mut direct = Direct::load(&models.file(subject), subject, backend)?;
    let micros = |seconds: f64| seconds * 1e6 / subject.runs as f64;
    through(&gateway, &answers, 1, subject.runs)?;
    direct.run(subject.runs)?;
    let taken = (0..CALL_ROUNDS).map(|_| {
        undisturbed(|| {
            let each = micros(through(&gateway, &answers, 1, subject.runs)?);
            Ok((each, micros(direct.run(subject.runs)?)))
        })
    });
    let taken = taken.collect();
    gateway.shutdown();
    taken
}

fn calls(models: &Models) -> Result<Vec<Figure>> {
    let [tiny, slow] = [&MLP, &CNN].map(|subject| rounds(models, subject, Backend::Tract));
    let [tiny_out, slow_out] = [&MLP, &CNN].map(|subject| rounds(models, subject, Backend::Onnxruntime));
    Ok(vec![
        Figure::beside("inference: tiny, in the gateway", "µs", &tiny?, Budget::Above(20.0)),
        Figure::beside("inference: milliseconds, in the gateway", "µs", &slow?, Budget::Ratio(1.05)),
        Figure::beside("inference: tiny, in a child", "µs", &tiny_out?, Budget::Above(150.0)),
        Figure::beside("inference: milliseconds, in a child", "µs", &slow_out?, Budget::Ratio(1.05)),
    ])
}

/// Four users of one model: what the model costs in memory then, and how much is computed.
fn sharing(models: &Models) -> Result<Vec<Figure>> {
    let subject = &MOBILENET;
    let megabytes = |text: &str| -> Result<f64> {
        let folder = Folder::new("")?;
        fs::copy(models.file(subject), folder.path().join("model.onnx"))?;
        folder.configure(text)?;
        folder.spawn()?.wait_until_running()?;
        let process = folder.spawn()?;
        process.wait_until_running()?;
        // A model may still be loading when its users run.
        let (mut before, started) = (0, Instant::now());
        loop {
            std::thread::sleep(SETTLED);
            let now = pss(process.id());
            if now.abs_diff(before) < 100_000 || started.elapsed() > PATIENCE {
                return Ok(now as f64 / 1e6);
            }
            before = now;
        }
    };
    let without = |users: usize| (0..users).map(|user| component(user, subject)).collect::<Result<String>>();
    let ungranted =
        |text: String| text.replace("infer.wasm", "echo.wasm").replace("config = {", "config = { to = \"infer/out\",");
    let with = |users| configuration(subject, Backend::Tract, users, 1);
    let mut memory = Vec::new();
    for _ in 0..3 {
        let one = megabytes(&with(1)?)? - megabytes(&ungranted(without(1)?))?;
        let four = megabytes(&with(4)?)? - megabytes(&ungranted(without(4)?))?;
        memory.push((four, one));
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let folder = folder(models, &CNN, Backend::Tract, 4, threads)?;
    let gateway = folder.start()?;
    let answers = answers(&gateway)?;
    let runs = CNN.runs;
    through(&gateway, &answers, 4, runs / 4)?;
    let mut throughput = Vec::new();
    for _ in 0..ROUNDS {
        let shared = (4 * runs) as f64 / through(&gateway, &answers, 4, runs)?;
        throughput.push((shared, (threads * runs) as f64 / direct::together(&models.file(&CNN), &CNN, threads, runs)?));
    }
    gateway.shutdown();
    Ok(vec![
        Figure::beside("inference: memory of a model, four users", "MB", &memory, Budget::Ratio(1.1)),
        Figure::beside("inference: four users, throughput", "/s", &throughput, Budget::Share(0.9)),
    ])
}

/// The same models by each engine, called directly, and from Python.
fn table(models: &Models) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (subject, names) in [
        (&MLP, ["inference: mlp, tract", "inference: mlp, onnxruntime"]),
        (&CNN, ["inference: cnn, tract", "inference: cnn, onnxruntime"]),
        (&MOBILENET, ["inference: mobilenet, tract", "inference: mobilenet, onnxruntime"]),
    ] {
        let mut tract = Direct::load(&models.file(subject), subject, Backend::Tract)?;
        let mut other = Direct::load(&models.file(subject), subject, Backend::Onnxruntime)?;
        let micros = |seconds: f64| seconds * 1e6 / subject.runs as f64;
        tract.run(subject.runs)?;
        other.run(subject.runs)?;
        let (mut by_tract, mut by_other) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let python = from_python(models, subject)?;
            by_tract.push((micros(tract.run(subject.runs)?), python));
            by_other.push((micros(other.run(subject.runs)?), python));
        }
        for (name, rounds) in names.into_iter().zip([by_tract, by_other]) {
            figures.push(Figure::beside(name, "µs", &rounds, Budget::None));
        }
    }
    Ok(figures)
}

/// Microseconds an inference by onnxruntime's own Python, one thread, the second half of its runs.
fn from_python(models: &Models, subject: &Subject) -> Result<f64> {
    let script = format!(
        "import time, numpy, onnxruntime as o\ns = o.SessionOptions(); s.intra_op_num_threads = 1\n\
         m = o.InferenceSession({file:?}, s, providers=['CPUExecutionProvider'])\n\
         x = numpy.zeros({shape:?}, numpy.float32)\n\
         for _ in range({runs}): m.run(None, {{{INPUT:?}: x}})\nt = time.perf_counter()\n\
         for _ in range({runs}): m.run(None, {{{INPUT:?}: x}})\n\
         print((time.perf_counter() - t) * 1e6 / {runs})",
        file = models.file(subject),
        shape = subject.shape,
        runs = subject.runs,
    );
    let output = Command::new(python()?).args(["-c", &script]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().context("what Python printed")
}

const MESSAGES: usize = 2000;
const EVERY: Duration = Duration::from_millis(1);

/// Somebody else's messages while a model computes without pause on all cores but one.
fn neighbours(models: &Models) -> Result<Figure> {
    let instances = std::thread::available_parallelism().map_or(1, usize::from).saturating_sub(1).max(1);
    let folder = folder(models, &MOBILENET, Backend::Tract, instances, instances)?;
    folder.configure(&(configuration(&MOBILENET, Backend::Tract, instances, instances)? + &components(1)?))?;
    let gateway = folder.start()?;
    let answers = answers(&gateway)?;
    through(&gateway, &answers, instances, 1)?;
    let mut taken = Vec::new();
    for _ in 0..ROUNDS {
        let alone = undisturbed(|| answered(&gateway))?;
        let busy = undisturbed(|| {
            std::thread::scope(|scope| {
                // As many as surely last longer than the messages, and the round ends when both have.
                let computing = scope.spawn(|| through(&gateway, &answers, instances, MOBILENET.runs * 20));
                let p99 = answered(&gateway)?;
                ensure!(!computing.is_finished(), "the model was done before the messages were");
                computing.join().map_err(|_| anyhow::anyhow!("who computes panicked"))??;
                Ok(p99)
            })
        })?;
        taken.push((busy, alone));
    }
    gateway.shutdown();
    Ok(Figure::beside("inference: p99 of a neighbour", "ms", &taken, Budget::Above(2.0)))
}

/// Milliseconds from publish to answer at the ninety-ninth percentile, of messages that come one each millisecond.
fn answered(gateway: &Gateway) -> Result<f64> {
    let hub = gateway.hub();
    let answers = hub.subscribe(vec![Filter::parse("out")?], ROOMY);
    let (topic, origin) = (Topic::parse("in")?, Instant::now());
    let mut late = Vec::with_capacity(MESSAGES);
    for number in 0..MESSAGES {
        std::thread::sleep((EVERY * number as u32).saturating_sub(origin.elapsed()));
        let now = Instant::now();
        hub.publish(Message::new(topic.clone(), *b"x"), Origin::Operator, None)?;
        ensure!(answers.wait(1, PATIENCE).len() == 1, "a message was not answered");
        late.push(now.elapsed().as_secs_f64() * 1e3);
    }
    Ok(quantile(late.into_iter(), 0.99))
}
