//! What models say is what onnxruntime says, and what they want is said to whoever gives something else.

use edgewit_domain::config::{Backend, Precision};
use edgewit_domain::model::{ErrorKind, Named};
use edgewit_domain::tensor::TensorType;

use crate::asking::{answer, configured, load, named};
use crate::support::cases;

/// File, and the input that is open in it with the shape that it is given: only cases of that are asked.
const GOOD: [(&str, &str, &[u32]); 14] = [
    ("anomaly.onnx", "readings", &[1, 16]),
    ("anomaly.onnx", "readings", &[3, 16]),
    ("classify.onnx", "image", &[1, 3, 32, 32]),
    ("fixtures/batch.onnx", "x", &[8, 4]),
    ("fixtures/mobile.onnx", "", &[]),
    ("fixtures/reshape.onnx", "x", &[1, 9]),
    ("fixtures/scalar.onnx", "", &[]),
    ("fixtures/several.onnx", "", &[]),
    ("fixtures/type-fp16.onnx", "", &[]),
    ("fixtures/type-fp32.onnx", "", &[]),
    ("fixtures/type-fp64.onnx", "", &[]),
    ("fixtures/type-i32.onnx", "", &[]),
    ("fixtures/type-i64.onnx", "", &[]),
    ("fixtures/type-u8.onnx", "", &[]),
];

#[test]
fn models_compute_what_the_reference_says() {
    for (file, input, shape) in GOOD {
        let mut config = configured(file);
        if !input.is_empty() {
            config.shapes = [(input.into(), shape.to_vec())].into();
        }
        let model = load(&config).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut asked = 0;
        for case in cases().into_iter().filter(|case| case.model == file) {
            if case.inputs.iter().all(|(name, tensor)| **name != *input || tensor.dimensions() == shape) {
                let given = answer(&model, case.inputs.clone()).unwrap_or_else(|error| panic!("{file}: {error}"));
                case.check(&given);
                asked += 1;
            }
        }
        assert!(asked > 0, "{file}");
        assert_eq!((model.stats().runs, model.stats().failures), (asked, 0), "{file}");
    }
}

/// Whoever asks sees the types of the file, and numbers that are near.
#[test]
fn half_the_precision_is_inside_only() {
    let mut config = configured("anomaly.onnx");
    config.backend = Backend::Tract { precision: Precision::Half };
    config.shapes = [("readings".into(), vec![3, 16])].into();
    let model = load(&config).unwrap();
    let anomaly = cases().into_iter().filter(|case| case.model == "anomaly.onnx");
    let case = anomaly.into_iter().find(|case| case.inputs[0].1.dimensions() == [3, 16]).unwrap();
    let given = answer(&model, case.inputs.clone()).unwrap();
    assert_eq!((given[0].1.ty(), given[0].1.dimensions()), (TensorType::F32, &[3_u32, 16][..]));
    let numbers =
        |named: &Named| named[0].1.data().as_chunks().0.iter().map(|b| f32::from_ne_bytes(*b)).collect::<Vec<_>>();
    let off = numbers(&given).into_iter().zip(numbers(&case.outputs)).map(|(half, full)| (half - full).abs());
    let most = off.fold(0.0, f32::max);
    assert!((0.0001..0.1).contains(&most), "it is off by {most}");
}

#[test]
fn what_does_not_fit_is_answered_with_what_is_wanted() {
    let model = load(&configured("fixtures/several.onnx")).unwrap();
    let wanted = "the model wants `left`: [2, 3] of f32, `counts`: [3] of i64";
    for (given, problem) in [
        (named("left", TensorType::F32, &[2, 3], &[0; 24]), "the input `counts` is missing"),
        (named("left", TensorType::F32, &[3, 2], &[0; 24]), "`left` is [3, 2] of f32"),
        (named("left", TensorType::I32, &[2, 3], &[0; 24]), "`left` is [2, 3] of i32"),
        (named("right", TensorType::F32, &[2, 3], &[0; 24]), "the input `left` is missing"),
    ] {
        let error = answer(&model, given).unwrap_err();
        assert_eq!((error.kind, error.text), (ErrorKind::Argument, format!("{problem}; {wanted}")));
    }
    assert_eq!(model.stats().runs, 0, "nothing was computed for that");
}

#[test]
fn a_model_is_described() {
    let mut config = configured("fixtures/batch.onnx");
    config.shapes = [("x".into(), vec![8, 4])].into();
    let model = load(&config).unwrap();
    let described = model.description();
    let ports = |ports: &[edgewit_domain::model::Port]| ports.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(ports(&described.inputs), ["`x`: [8, 4] of f32"]);
    assert_eq!(ports(&described.outputs), ["`y`: [8, 2] of f32"]);
    assert_eq!(described.parameters, 10, "of two numbers from four, each with one added");
}
