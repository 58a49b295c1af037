//! Models that want to do harm are refused with what is wrong with them, and this process lives.

use edgewit_domain::config::Precision;
use edgewit_domain::digest::Digest;
use edgewit_domain::limits::MIB;
use edgewit_inference::{LoadError, Model};

use crate::asking::{answer, configured, load, named, one, refused};
use crate::support::{kit, model};

/// File, and what its refusal has to speak of.
const BAD: &[(&str, &str)] = &[
    ("constant-beyond-numbers", "cannot compute it"),
    ("constant-negative", "Negative dimension"),
    ("constant-too-large", "cannot compute it"),
    ("constant-without-bytes", "cannot compute it"),
    ("cycle", "cannot compute it"),
    ("deeper", "it is no ONNX file"),
    ("disguised-operator", "it computes `Relu` of `com.example`, which tract does not know"),
    ("division-when-loaded", "tract failed on it: attempt to divide by zero"),
    ("empty", "it is no ONNX file"),
    ("endless", "Loop"),
    ("external-absolute", "`weight` lies in another file"),
    ("external-beside", "save the model as a single file"),
    ("external-parent", "`weight` lies in another file"),
    ("filled-when-loaded", "reading it takes more than"),
    ("filled-when-run", "raise `memory`"),
    ("input-beyond-numbers", "the input `x` has a dimension of 4611686018427387904"),
    ("input-bf16", "`x` is bf16, which tract does not compute with"),
    ("input-gigantic", "the input `x` has a dimension of 1099511627776"),
    ("input-of-nothing", "`nothing` is wanted, and nothing computes it"),
    ("input-sequence", "the input `x` is no tensor"),
    ("input-text", "a type that no component can have"),
    ("long-range", "is known only when it computes"),
    ("no-graph", "it is no ONNX file"),
    ("noise", "it is no ONNX file"),
    ("output-of-nothing", "`y` is wanted, and nothing computes it"),
    ("recursive-function", "it computes `Again` of `own`"),
    ("same-constants", "it has two constants `one`"),
    ("same-inputs", "it has two inputs `x`"),
    ("same-outputs", "`y` is computed twice"),
    ("text", "it is no ONNX file"),
    ("truncated", "it is no ONNX file"),
    ("unknown-operator", "it computes `Frobnicate` of `com.example`"),
    ("wrong-shapes", "cannot compute it"),
];

#[test]
fn what_is_wrong_is_said() {
    for (name, problem) in BAD {
        let error = refused(&configured(&format!("bad/{name}.onnx"))).to_string();
        assert!(error.contains(problem), "{name}: {error}");
        assert!(error.len() < 2048, "{name}: {error}");
    }
}

/// Strange, and harmless.
#[test]
fn what_can_be_computed_is_computed() {
    for name in ["same-names", "deep"] {
        let model = load(&configured(&format!("bad/{name}.onnx"))).unwrap_or_else(|error| panic!("{name}: {error}"));
        let given = answer(&model, one(2.0)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(given[0].1.data(), (-2.0_f32).to_ne_bytes(), "{name}");
    }
}

#[test]
fn open_dimensions_are_asked_for() {
    let error = refused(&configured("anomaly.onnx")).to_string();
    let expected = "its input `readings`: [batch, 16] of f32 is open, so nobody can say what it takes; \
                    give its dimensions, in `shapes` or by `--shape`";
    assert_eq!(error, expected);
}

#[test]
fn shapes_have_to_fit() {
    for (name, shape, problem) in [
        ("reading", vec![1, 16], "`shapes` names `reading`, and its inputs are `readings`: [batch, 16] of f32"),
        ("readings", vec![1, 17], "`shapes` has [1, 17] for the input `readings`: [batch, 16] of f32"),
        ("readings", vec![16], "`shapes` has [16] for the input `readings`: [batch, 16] of f32"),
    ] {
        let mut config = configured("anomaly.onnx");
        config.shapes = [(name.into(), shape)].into();
        assert_eq!(refused(&config).to_string(), problem);
    }
}

#[test]
fn another_file_than_was_meant_is_not_even_read() {
    let mut config = configured("fixtures/scalar.onnx");
    config.digest = Some(Digest::of(&model("fixtures/scalar.onnx")));
    assert!(load(&config).is_ok());
    let mut kit = kit();
    kit.worker.program = "/nonexistent".into();
    match Model::load(&config, model("fixtures/several.onnx").to_vec(), &kit) {
        Err(LoadError::Digest { expected, found }) => assert_ne!(expected, found),
        other => panic!("{:?}", other.err()),
    }
}

/// With so much that it would fit once, and with too many instances.
#[test]
fn memory_is_planned_with_all_instances() {
    let mut config = configured("bad/slow-nodes.onnx");
    (config.warm_up, config.instances) = (0, 1);
    let planned = load(&config).unwrap().description().planned.unwrap();
    assert!((2 * MIB..16 * MIB).contains(&planned.running), "{planned:?}");
    (config.memory, config.instances) = (planned.with(3), 4);
    match load(&config) {
        Err(LoadError::Memory { planned: all, limit }) => assert_eq!((all, limit), (planned.with(4), config.memory)),
        other => panic!("{:?}", other.err()),
    }
    config.instances = 3;
    assert!(load(&config).is_ok());
    config.backend = edgewit_domain::config::Backend::Tract { precision: Precision::Half };
    let half = load(&config).unwrap().description().planned.unwrap();
    assert!(half.running < planned.running, "{half:?} and {planned:?}");
}

/// Its number is what it is given, and there is no number at that place.
#[test]
fn what_fails_when_it_computes_is_an_error_and_no_more() {
    let model = load(&configured("bad/division.onnx"));
    assert!(matches!(model, Err(LoadError::WarmUp(_))), "zero by zero: {:?}", model.err());
    let mut config = configured("bad/beyond.onnx");
    config.shapes = [("index".into(), vec![1])].into();
    let model = load(&config).unwrap();
    let at = |index: i64| {
        let inputs = named("index", edgewit_domain::tensor::TensorType::I64, &[1], &index.to_ne_bytes());
        answer(&model, inputs)
    };
    assert_eq!(at(2).unwrap()[0].1.data(), 3.0_f32.to_ne_bytes());
    let error = at(1 << 40).unwrap_err();
    assert_eq!(error.kind, edgewit_domain::model::ErrorKind::Runtime, "{error}");
    assert_eq!(at(1).unwrap()[0].1.data(), 2.0_f32.to_ne_bytes(), "as good as new");
}

/// A million weights, which tract packs inside the operator that multiplies by them.
#[test]
fn what_was_learned_is_planned_for() {
    let config = configured("anomaly.onnx");
    let Err(LoadError::Memory { planned, .. }) = with_memory(&config, MIB) else { panic!("a MiB is enough") };
    assert!(planned >= 4 * MIB, "{planned}");
    let description = with_memory(&config, 64 * MIB).unwrap().description().clone();
    assert_eq!(description.parameters, 1024 * 1024);
    assert!((4 * MIB..6 * MIB).contains(&description.planned.unwrap().resting), "{description:?}");
}

fn with_memory(config: &edgewit_domain::config::Model, memory: u64) -> Result<Model, LoadError> {
    Model::load(&edgewit_domain::config::Model { memory, ..config.clone() }, product(1024), &kit())
}

/// An ONNX file that multiplies by a square matrix, written by hand.
fn product(side: u64) -> Vec<u8> {
    fn varint(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number > 127 {
            bytes.push((number & 127) as u8 | 128);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }
    let number = |field: u8, value: u64| [vec![field << 3], varint(value)].concat();
    let bytes = |field: u8, value: &[u8]| [vec![field << 3 | 2], varint(value.len() as u64), value.to_vec()].concat();
    let port = |name: &[u8]| {
        let dimensions = [1, side].map(|size| bytes(1, &number(1, size))).concat();
        let tensor = [number(1, 1), bytes(2, &dimensions)].concat();
        [bytes(1, name), bytes(2, &bytes(1, &tensor))].concat()
    };
    let weights: Vec<u8> = (0..side * side).flat_map(|at| (at as f32).sin().to_ne_bytes()).collect();
    let weight = [number(1, side), number(1, side), number(2, 1), bytes(8, b"w"), bytes(9, &weights)].concat();
    let node = [bytes(1, b"x"), bytes(1, b"w"), bytes(2, b"y"), bytes(4, b"MatMul")].concat();
    let graph = [bytes(1, &node), bytes(2, b"g"), bytes(5, &weight), bytes(11, &port(b"x")), bytes(12, &port(b"y"))];
    [number(1, 8), bytes(7, &graph.concat()), bytes(8, &number(2, 17))].concat()
}
