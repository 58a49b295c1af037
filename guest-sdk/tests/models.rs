//! What the bench promises of models: that there are those which it was given, and that what is no tensor is refused as the
//! gateway refuses it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use edgewit_sdk::model::{Error, ErrorCode, Model, Tensor, TensorType, Tensors, model};
use edgewit_sdk::testing::Bench;
use edgewit_sdk::{Component, ConfigError, Delivery, Failure, HandleMessages, component, publish};

/// Asks `anomaly`, or what it brings, and publishes the score.
struct Asking;

impl Component for Asking {
    fn from_config() -> Result<Self, ConfigError> {
        Ok(Self)
    }
}

impl HandleMessages for Asking {
    fn on_message(&mut self, delivery: Delivery) -> Result<(), Failure> {
        let payload = delivery.text()?;
        let asked = if payload == "bring" { Model::from_onnx(*b"onnx")? } else { model("anomaly")? };
        let dimensions: &[u32] = if payload == "wrong" { &[1, 3] } else { &[1, 2] };
        let outputs = asked.run(&[("x", &Tensor::f32(dimensions, &[1.0, 2.5]))])?;
        let score = outputs.get("score")?;
        if payload == "another type" {
            score.to_i64()?;
        }
        Ok(publish("score", format!("{:?}", score.to_f32()?))?)
    }
}

component!(Asking: messages);

fn bench() -> Bench<Asking> {
    Bench::new().unwrap()
}

fn sum(inputs: &Tensors) -> Result<Tensors, Error> {
    let sum: f32 = inputs.get("x")?.to_f32()?.iter().sum();
    Ok([("score", Tensor::f32(&[1], &[sum]))].into())
}

fn rejected(mut bench: Bench<Asking>, payload: &str) -> String {
    match bench.message("in", payload) {
        Err(Failure::Reject(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn denied_first_there_are_the_models_of_the_bench_and_no_others() {
    assert!(rejected(bench(), "").ends_with("[component.NAME.grant.model]\nanomaly = \"anomaly\""));
    assert!(rejected(bench().with_model("other", sum), "").contains("grant.model]"));
    assert!(rejected(bench().with_model("anomaly", sum), "bring").contains("[component.NAME.grant.model-load]"));
    assert_eq!(model("anomaly").unwrap_err().text, "call it through a Bench");

    let mut bench = bench().with_model("anomaly", sum);
    assert_eq!(bench.message("in", "").unwrap().lines(), [("score", "[3.5]".to_string())]);
}

#[test]
fn what_is_brought_is_asked_with_its_bytes() {
    let mut bench = bench().taking_models(|bytes, inputs| {
        assert_eq!(bytes, b"onnx");
        sum(inputs)
    });
    assert_eq!(bench.message("in", "bring").unwrap().lines(), [("score", "[3.5]".to_string())]);
}

#[test]
fn what_does_not_fit_says_what_it_is() {
    let wrong = rejected(bench().with_model("anomaly", sum), "wrong");
    assert!(wrong.ends_with("`x`: 8 bytes are no [1, 3] of TensorType::Fp32"), "{wrong}");
    let another = rejected(bench().with_model("anomaly", sum), "another type");
    assert!(another.ends_with("the tensor is TensorType::Fp32 and not TensorType::I64"), "{another}");
    let elsewhere = |_: &Tensors| Ok(Tensors::from([("a", Tensor::u8(&[0], &[])), ("b", Tensor::u8(&[0], &[]))]));
    let missing = rejected(bench().with_model("anomaly", elsewhere), "");
    assert!(missing.ends_with("there is no `score`, but `a`, `b`"), "{missing}");
}

/// What passes by itself is tried again, and what does not is given up.
#[test]
fn a_model_that_fails_is_asked_again_where_that_may_help() {
    for (code, again) in [
        (ErrorCode::Timeout, true),
        (ErrorCode::RuntimeError, true),
        (ErrorCode::Unknown, true),
        (ErrorCode::InvalidArgument, false),
        (ErrorCode::InvalidEncoding, false),
        (ErrorCode::UnsupportedOperation, false),
        (ErrorCode::TooLarge, false),
        (ErrorCode::NotFound, false),
        (ErrorCode::Security, false),
    ] {
        let mut bench = bench().with_model("anomaly", move |_| Err(Error::new(code, "as told")));
        let failure = bench.message("in", "").unwrap_err();
        assert_eq!(matches!(failure, Failure::Retry(_)), again, "{code:?}");
    }
}

#[test]
fn numbers_are_the_same_before_and_after() {
    assert_eq!(Tensor::f32(&[2], &[0.1, f32::MIN]).to_f32().unwrap(), [0.1, f32::MIN]);
    assert_eq!(Tensor::f64(&[1], &[0.1]).to_f64().unwrap(), [0.1]);
    assert_eq!(Tensor::u8(&[2], &[0, 255]).to_u8().unwrap(), [0, 255]);
    assert_eq!(Tensor::i32(&[1], &[i32::MIN]).to_i32().unwrap(), [i32::MIN]);
    assert_eq!(Tensor::i64(&[2], &[1, i64::MIN]).to_i64().unwrap(), [1, i64::MIN]);
    let half = Tensor::new(TensorType::Fp16, [1], [0, 60]);
    assert_eq!((half.ty(), half.dimensions(), half.data()), (TensorType::Fp16, &[1][..], &[0, 60][..]));
    assert_eq!(Tensor::i32(&[1], &[1]).data(), [1, 0, 0, 0]);
}
