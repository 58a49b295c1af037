//! `wasi:nn` by a guest: what it may ask, what it gets, what it is told, and when it is ended.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use edgewit_domain::config::ModelLoadGrant;
use edgewit_domain::fault::Fault;
use edgewit_domain::handling::Outcome;
use edgewit_domain::model::{ErrorKind, InferenceError, Named};
use edgewit_domain::tensor::{Tensor, TensorType};
use edgewit_sandbox::{LinkError, Loading, Model, Models};

use crate::support::{Bed, bed_with, prepare};

const PUBLISH: &str = "[component.it.grant.publish]\nall = \"#\"\n";
const MODEL: &str = "[model.known]\nfile = \"known.onnx\"\n[component.it.grant.model]\nmodel = \"known\"\n";
const LOAD: &str = "[component.it.grant.model-load]\nbytes = \"1KiB\"\n";
/// What a loaded machine may add to any of the times below.
const PATIENCE: Duration = Duration::from_secs(5);

/// What computes here.
#[derive(Clone)]
enum Double {
    /// Gives what it is given.
    Echo,
    /// One `f32`: the sum of all that it is given.
    Sum,
    /// As many bytes as it is given, so many times over.
    Wide(u32),
    Fails(ErrorKind, &'static str),
    NeverAnswers,
    /// Echoes, and has computed so long on the thread of whoever asked.
    Computes(Duration),
}

impl Model for Double {
    fn run(&self, inputs: Named, until: Instant, given_up: &dyn Fn() -> bool) -> Result<Named, InferenceError> {
        match self {
            Double::Echo => Ok(inputs),
            Double::Sum => Ok(sum(&inputs)),
            Double::Wide(factor) => {
                let length = u32::try_from(inputs[0].1.data().len()).unwrap() * factor;
                Ok(vec![("y".into(), Tensor::zeros(TensorType::U8, vec![length]).unwrap())])
            }
            Double::Fails(kind, text) => Err(InferenceError::new(*kind, *text)),
            Double::NeverAnswers => {
                while Instant::now() < until && !given_up() {
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                Err(InferenceError::new(ErrorKind::Timeout, "nobody reads this"))
            }
            Double::Computes(time) => {
                let end = Instant::now() + *time;
                while Instant::now() < end {
                    std::hint::spin_loop();
                }
                Ok(inputs)
            }
        }
    }
}

fn sum(inputs: &Named) -> Named {
    let numbers = inputs.iter().flat_map(|(_, tensor)| tensor.data().as_chunks().0);
    let sum: f32 = numbers.map(|bytes| f32::from_le_bytes(*bytes)).sum();
    vec![("sum".into(), Tensor::new(TensorType::F32, vec![1], &sum.to_le_bytes()).unwrap())]
}

/// The models by their names in configuration; what a guest brings echoes, unless it is of 13 bytes.
#[derive(Default)]
struct Doubles {
    named: BTreeMap<&'static str, Double>,
    loaded: Mutex<Vec<(usize, ModelLoadGrant)>>,
}

impl Models for Doubles {
    fn model(&self, name: &str) -> Option<Arc<dyn Model>> {
        self.named.get(name).map(|double| Arc::new(double.clone()) as Arc<dyn Model>)
    }

    fn load(&self, bytes: Vec<u8>, grant: ModelLoadGrant) -> Loading {
        self.loaded.lock().unwrap().push((bytes.len(), grant));
        let loaded: Result<Arc<dyn Model>, _> = match bytes.len() {
            13 => Err(InferenceError::new(ErrorKind::Encoding, "13 bytes are no model; export it anew")),
            _ => Ok(Arc::new(Double::Echo)),
        };
        Box::pin(ready(loaded))
    }
}

/// A guest with these tables beside its grant to publish, and `known` as told.
fn asking(fixture: &str, tables: &str, known: Double) -> Bed {
    let doubles = Doubles { named: [("known", known)].into(), ..Doubles::default() };
    bed_with(fixture, &format!("{PUBLISH}{tables}"), |services| services.models = Arc::new(doubles))
}

fn nn(known: Double) -> Bed {
    asking("nn", MODEL, known)
}

fn limited(limits: &str, known: Double) -> Bed {
    asking("nn", &format!("{MODEL}[component.it.limits]\n{limits}\n"), known)
}

fn answers(bed: &mut Bed, lines: &str) -> Vec<String> {
    let answers = bed.published(lines).remove(0).1.replace("ErrorCode::", "").replace("TensorType::", "");
    answers.split('\n').map(str::to_owned).collect()
}

#[test]
fn denied_first_models_are_there_by_grant_only() {
    for fixture in ["nn", "stock-nn"] {
        let Err(LinkError::Denied(denied)) = prepare(fixture, PUBLISH) else { panic!("{fixture} linked") };
        let cure = "[component.it.grant.model]\nmodel = \"model\"  # an example: put your own here";
        assert_eq!(denied.iter().map(|denied| denied.cure()).collect::<Vec<_>>(), [Some(cure)], "{fixture}");
    }
    let mut bed = nn(Double::Sum);
    let refused = answers(&mut bed, "model other");
    assert!(refused[0].starts_with("Security: component `it` may not"), "{refused:?}");
    assert_eq!(refused[1..], ["[component.it.grant.model]", "other = \"other\""]);
    assert_eq!(bed.instance.refusals().len(), 1);
    // By the name of the configuration, which is not the guest's.
    assert!(answers(&mut bed, "model known")[0].starts_with("Security"));
    assert_eq!(answers(&mut bed, "model model\nrun x f32 2 1 2"), ["ok", "sum Fp32 1 3"]);
}

#[test]
fn a_granted_model_that_is_not_there_and_a_name_that_is_none_are_not_found() {
    let tables = "[model.gone]\nfile = \"gone.onnx\"\n[component.it.grant.model]\nmodel = \"gone\"\n";
    let mut bed = asking("nn", tables, Double::Echo);
    let long = "n".repeat(65);
    let refused = answers(&mut bed, &format!("model model\nmodel {long}"));
    assert_eq!(refused[0], "NotFound: there is no model `gone` here; configure [model.gone] with its file");
    assert_eq!(refused[1], "NotFound: this is no name of a model, which has at most 64 bytes");
}

#[test]
fn denied_first_a_model_is_brought_by_its_own_grant_only() {
    let refused = answers(&mut nn(Double::Echo), "load 100");
    assert!(refused[0].starts_with("Security: component `it` may not"), "{refused:?}");
    assert_eq!(refused[1..], ["[component.it.grant.model-load]", "bytes = \"4MiB\""]);

    let doubles = Arc::new(Doubles::default());
    let tables = format!("{PUBLISH}{LOAD}");
    let mut bed = bed_with("nn", &tables, |services| services.models = doubles.clone());
    for (line, expected) in [
        (
            "load 1025",
            "TooLarge: the model has 1025 bytes and may have 1024; raise component.it.grant.model-load.bytes",
        ),
        ("load 13", "InvalidEncoding: 13 bytes are no model; export it anew"),
        ("load-as pytorch cpu 1", "InvalidEncoding: models are ONNX here; convert this one, and load it as `onnx` or"),
        ("load-as onnx gpu 1", "UnsupportedOperation: what a component brings is computed on the CPU: ask for `cpu`,"),
        ("load-as onnx cpu 2", "InvalidArgument: an ONNX model is one builder, and 2 were given; put all of it into"),
        ("load-as onnx cpu 0", "InvalidArgument: an ONNX model is one builder, and 0 were given; put all of it into"),
        ("load-as autodetect cpu 1", "ok"),
        ("load 1024", "ok"),
        ("run x u8 2 1 2", "x U8 2 1 2"),
    ] {
        let answer = &answers(&mut bed, line)[0];
        assert!(answer.starts_with(expected), "{line}: {answer}");
    }
    let loaded = doubles.loaded.lock().unwrap();
    assert_eq!(loaded.iter().map(|(bytes, _)| *bytes).collect::<Vec<_>>(), [13, 1, 1024], "the rest was never asked");
    assert!(loaded.iter().all(|(_, grant)| grant.bytes == 1024));
}

#[test]
fn every_type_arrives_at_the_model_and_comes_back_as_it_was() {
    let mut bed = nn(Double::Echo);
    for (given, expected) in [
        ("f16 2 15360 64512", "Fp16 2 15360 64512"),
        ("f32 2,2 0.5 -1 3e8 inf", "Fp32 2,2 0.5 -1 300000000 inf"),
        ("f64 1 0.1", "Fp64 1 0.1"),
        ("bf16 1,1 16256", "Bf16 1,1 16256"),
        ("u8 3 0 127 255", "U8 3 0 127 255"),
        ("i32 2 -2147483648 7", "I32 2 -2147483648 7"),
        ("i64 1 -9223372036854775808", "I64 1 -9223372036854775808"),
        ("u8 0 ", "U8 0 "),
    ] {
        let given = given.trim_end();
        assert_eq!(answers(&mut bed, &format!("run x {given}"))[0], format!("x {expected}"));
    }
}

#[test]
fn a_guest_written_against_the_stock_interface_runs_as_it_is() {
    let numbers: Vec<u8> = [1.5f32, 2.5].iter().flat_map(|number| number.to_le_bytes()).collect();
    let sum = |bed: &mut Bed| {
        let Ok(Outcome::Done(effects)) = bed.message(&numbers) else { panic!("it failed") };
        effects.publishes[0].payload.clone()
    };
    assert_eq!(*sum(&mut asking("stock-nn", MODEL, Double::Sum)), 4f32.to_le_bytes());
    let failing = Double::Fails(ErrorKind::Runtime, "the child died; see its log");
    assert_eq!(*sum(&mut asking("stock-nn", MODEL, failing)), *b"ErrorCode::RuntimeError: the child died; see its log");
}

#[test]
fn what_is_no_tensor_is_a_wrong_argument_that_says_why_and_never_reaches_the_model() {
    let mut bed = nn(Double::Fails(ErrorKind::Runtime, "it was asked"));
    for (line, expected) in [
        ("run x f32 2 1", "InvalidArgument: `x`: [2] of f32 are 8 bytes, and 4 were given"),
        ("run x u8 65536,65536,65536,65536", "InvalidArgument: `x`: its dimensions [65536, 65536, 65536, 65536] are"),
        ("run x u8 1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1 1", "InvalidArgument: `x`: it has 17 dimensions, and at most 16"),
        ("run x u8 1 1", "RuntimeError: it was asked"),
    ] {
        let answer = &answers(&mut bed, line)[0];
        assert!(answer.starts_with(expected), "{line}: {answer}");
    }
}

#[test]
fn every_refusal_of_a_model_has_its_code_and_its_words() {
    let text = "`x` is [1] of u8; the model wants `x`: [2] of f32";
    for (kind, code) in [
        (ErrorKind::Argument, "InvalidArgument"),
        (ErrorKind::Encoding, "InvalidEncoding"),
        (ErrorKind::Timeout, "Timeout"),
        (ErrorKind::Busy, "RuntimeError"),
        (ErrorKind::TooLarge, "TooLarge"),
        (ErrorKind::NotFound, "NotFound"),
        (ErrorKind::Denied, "Security"),
        (ErrorKind::Unsupported, "UnsupportedOperation"),
        (ErrorKind::Runtime, "RuntimeError"),
    ] {
        let mut bed = nn(Double::Fails(kind, text));
        let before = bed.instance.memory();
        assert_eq!(answers(&mut bed, "run x u8 1 1"), [format!("{code}: {text}")]);
        assert_eq!(bed.instance.refusals(), [text]);
        assert_eq!(bed.instance.memory(), before, "its inputs are released all the same");
    }
}

#[test]
fn h9_a_model_that_never_answers_ends_the_handling_at_its_wall_deadline_and_is_given_up() {
    let mut bed = limited("wall = \"150ms\"\ncpu = \"100ms\"", Double::NeverAnswers);
    let started = Instant::now();
    let ended = bed.message("run x u8 1 1");
    assert_eq!(ended.unwrap_err(), Fault::WallDeadline { limit: Duration::from_millis(150) });
    assert!(started.elapsed() < PATIENCE, "took {:?}", started.elapsed());
}

#[test]
fn h9_what_a_model_takes_does_not_count_as_computing_even_on_the_same_thread() {
    let mut bed = limited("wall = \"60s\"\ncpu = \"50ms\"", Double::Computes(Duration::from_millis(20)));
    let asked = ["run x u8 1 1"; 20].join("\n");
    assert_eq!(answers(&mut bed, &asked), ["x U8 1 1"; 20]);
    // What the guest computes itself still does.
    let ended = bed.message("spin").unwrap_err();
    assert_eq!(ended, Fault::CpuDeadline { limit: Duration::from_millis(50) });
}

#[test]
fn h9_an_interruption_ends_an_inference_at_once() {
    let mut bed = limited("wall = \"1h\"", Double::NeverAnswers);
    let interrupter = bed.services.interrupter.clone();
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::park_timeout(Duration::from_millis(100));
            interrupter.interrupt();
        });
        bed.message("run x u8 1 1")
    });
    assert_eq!(ended.unwrap_err(), Fault::Interrupted);
}

#[test]
fn tensors_that_a_guest_has_count_as_its_memory_until_it_drops_them() {
    let mut bed = limited("memory = \"8MiB\"\ncpu = \"10s\"", Double::Echo);
    // What the guest takes for its own copies stays.
    answers(&mut bed, "tensor 1048576\ntensor 1048576\ndrop");
    let before = bed.instance.memory();
    answers(&mut bed, "tensor 1048576\ntensor 1048576");
    assert_eq!(bed.instance.memory() - before, 2 * (1048576 + 4));
    answers(&mut bed, "drop\ntensor 1000");
    assert_eq!(bed.instance.memory() - before, 1004);
    let many = "tensor 1048576\n".repeat(8);
    assert_eq!(bed.message(many.trim_end()).unwrap_err(), Fault::Memory { limit: 8 << 20 });
}

#[test]
fn results_that_do_not_fit_are_too_large_and_cost_nothing() {
    let mut bed = limited("memory = \"8MiB\"\ncpu = \"10s\"", Double::Wide(16));
    assert_eq!(answers(&mut bed, "wide x 100"), ["1600"]);
    answers(&mut bed, "wide x 1048576");
    let before = bed.instance.memory();
    let refused = answers(&mut bed, "wide x 1048576").remove(0);
    assert!(refused.starts_with("TooLarge: the results have 16385 KiB, and limits.memory leaves "), "{refused}");
    assert!(refused.ends_with("; raise it, or drop tensors before"), "{refused}");
    assert_eq!(bed.instance.memory(), before);
    assert_eq!(answers(&mut bed, "wide x 100"), ["1600"]);
}

/// A megabyte is as much as anything else that a guest hands over; one with a model hands over what its memory holds.
#[test]
fn a_tensor_may_be_as_large_as_the_memory_is() {
    let mut bed = limited("memory = \"64MiB\"\ncpu = \"10s\"", Double::Wide(1));
    assert_eq!(answers(&mut bed, "wide x 10000000"), ["10000000"]);
}

#[test]
fn thousands_of_inferences_leave_nothing_behind() {
    let mut bed = limited("cpu = \"60s\"\nwall = \"120s\"", Double::Echo);
    answers(&mut bed, "times 100 x");
    let before = bed.instance.memory();
    assert_eq!(answers(&mut bed, "times 5000 x\nmodel model\nmodel model"), ["ok", "ok", "ok"]);
    assert_eq!(bed.instance.memory(), before);
}

#[test]
fn handles_are_limited_and_the_guest_that_wants_more_is_ended() {
    for line in ["tensor 1", "error"] {
        let mut bed = limited("cpu = \"10s\"", Double::Echo);
        let many = |count| format!("{line}\n").repeat(count).trim_end().to_owned();
        answers(&mut bed, &many(400));
        assert!(matches!(bed.message(many(200)), Err(Fault::Trap { .. })), "{line}");
    }
}

#[test]
fn so_many_models_may_be_brought_and_no_more_before_one_is_dropped() {
    // Each is dropped for the next, so that two are held at most.
    let mut bed = asking("nn", &format!("{MODEL}{LOAD}"), Double::Echo);
    assert!(answers(&mut bed, &"load 1\n".repeat(50)).iter().take(50).all(|answer| answer == "ok"));
    let refused = answers(&mut bed, "keep 5").remove(0);
    assert!(
        refused.starts_with("RuntimeError: 4 models that the component has brought are held already; drop one first"),
        "{refused}"
    );
    assert_eq!(answers(&mut bed, "drop\nload 1"), ["ok", "ok"]);
}
