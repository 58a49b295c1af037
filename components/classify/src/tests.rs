//! What `classify` promises, through the gateway in memory. The model of these tests sees red, green or blue.

use edgewit_sdk::model::{Error, ErrorCode, Tensor, Tensors};
use edgewit_sdk::testing::{Bench, delivery};
use edgewit_sdk::{Delivery, Failure, Message, PublishError, Reason};

use super::*;
use crate::picture::tests::{png_of, sample};

const COLOURS: [(&str, &str); 3] = [("labels", "red, green,blue"), ("width", "4"), ("height", "2")];

/// How much there is of each colour.
fn colours(inputs: &Tensors) -> Result<Tensors, Error> {
    let image = inputs.get("image")?;
    assert_eq!(image.dimensions(), [1, 3, 2, 4]);
    let numbers = image.to_f32()?;
    let sums: Vec<f32> = numbers.chunks(8).map(|plane| plane.iter().sum::<f32>() / 8.0).collect();
    Ok(Tensors::from([("probabilities", Tensor::f32(&[1, 3], &sums))]))
}

fn with_model(more: &[(&str, &str)], infer: fn(&Tensors) -> Result<Tensors, Error>) -> Bench<Classify> {
    let config = [&COLOURS, more].concat();
    Bench::<Classify>::with_config(config.iter().copied()).unwrap().with_model("classify", infer)
}

fn bench(more: &[(&str, &str)]) -> Bench<Classify> {
    with_model(more, colours)
}

fn plain(colour: [u8; 3]) -> Vec<u8> {
    png_of(4, 2, png::ColorType::Rgb, png::BitDepth::Eight, &colour.repeat(8))
}

#[test]
fn a_picture_is_told_by_its_likeliest_name() {
    let mut bench = bench(&[]);
    for (colour, expected) in [([255, 0, 51], "red"), ([0, 9, 3], "green"), ([1, 2, 3], "blue")] {
        let effects = bench.message("cameras/bay", plain(colour)).unwrap();
        let seen: serde_json::Value = serde_json::from_str(&effects.lines()[0].1).unwrap();
        assert_eq!(seen["label"], expected, "{colour:?}");
    }
}

#[test]
fn what_is_seen_says_all_there_is_to_know() {
    let mut bench = bench(&[("top", "2"), ("output", "seen/{2}"), ("retain", "true")]);
    let effects = bench.message("cameras/bay", plain([255, 0, 51])).unwrap();
    let at = bench.now_ms();
    let guesses = r#"[{"label":"red","probability":1.0},{"label":"blue","probability":0.2}]"#;
    let seen = format!(r#"{{"source":"cameras/bay","label":"red","probability":1.0,"guesses":{guesses},"at":{at}}}"#);
    assert_eq!(effects.lines(), [("seen/bay", seen)]);
    assert!(effects.published[0].retain);
    let untimed = Delivery { clock_trusted: false, ..delivery(Message::new("a/b", plain([1, 2, 3]))) };
    assert!(!bench.delivery(untimed).unwrap().lines()[0].1.contains("\"at\""));
}

#[test]
fn samples_of_every_kind_come_to_the_model_in_its_size() {
    let mut bench = bench(&[]);
    let red = |effects: edgewit_sdk::testing::Effects| effects.lines()[0].1.contains(r#""label":"red""#);
    assert!(red(bench.message("c", sample("blocked.jpg")).unwrap()));
    for name in ["empty.png", "pallet.jpg", "person.png"] {
        assert_eq!(bench.message("c", sample(name)).unwrap().published.len(), 1, "{name}");
    }
}

#[test]
fn what_is_no_picture_or_too_large_is_rejected_and_the_next_one_is_seen() {
    let mut bench = bench(&[("pixels", "8")]);
    for (payload, word) in [(b"GIF89a".to_vec(), "neither JPEG nor PNG"), (sample("empty.png"), "raise `pixels`")] {
        match bench.message("c", payload) {
            Err(Failure::Reject(reason)) => assert!(reason.contains(word) && reason.contains("`c`"), "{reason}"),
            outcome => panic!("{word}: {outcome:?}"),
        }
    }
    assert!(bench.message("c", plain([1, 2, 3])).is_ok());
}

#[test]
fn a_model_without_an_answer_or_with_another_than_configured() {
    fn busy(_: &Tensors) -> Result<Tensors, Error> {
        Err(Error::new(ErrorCode::Timeout, "busy"))
    }
    fn two(_: &Tensors) -> Result<Tensors, Error> {
        Ok(Tensors::from([("probabilities", Tensor::f32(&[1, 2], &[0.5, 0.5]))]))
    }
    fn other(_: &Tensors) -> Result<Tensors, Error> {
        Ok(Tensors::from([("y", Tensor::f32(&[1, 3], &[0.5, 0.2, 0.3]))]))
    }
    assert!(matches!(with_model(&[], busy).message("c", plain([1, 2, 3])), Err(Failure::Retry(_))));
    for (infer, word) in [(two as fn(&Tensors) -> _, "`labels` has 3"), (other, "but `y`")] {
        match with_model(&[], infer).message("c", plain([1, 2, 3])) {
            Err(Failure::Reject(reason)) => assert!(reason.contains(word), "{reason}"),
            outcome => panic!("{word}: {outcome:?}"),
        }
    }
    let named = [("probabilities", "y"), ("softmax", "true")];
    let effects = with_model(&named, other).message("c", plain([1, 2, 3])).unwrap();
    assert!(effects.lines()[0].1.contains(r#""label":"red","probability":0.39"#), "{effects:?}");
}

#[test]
fn what_is_seen_and_not_told_is_looked_at_again() {
    let mut refusing = bench(&[]).refusing("classes/#", PublishError::NoRoom("uplink".into()));
    assert!(matches!(refusing.message("c", plain([1, 2, 3])), Err(Failure::Retry(_))));
    let mut nowhere = bench(&[("output", "seen/{3}")]);
    assert!(
        matches!(nowhere.message("c", plain([1, 2, 3])), Err(Failure::Reject(reason)) if reason.contains("seen/{3}"))
    );
}

#[test]
fn it_does_not_start_without_its_model() {
    let mut ungranted = Bench::<Classify>::with_config(COLOURS).unwrap();
    let reason = ungranted.init(Reason::First).unwrap_err();
    assert!(reason.contains("grant.model]\nclassify = \"classify\""), "{reason}");
    assert!(bench(&[]).init(Reason::First).is_ok());
}

#[test]
fn a_broken_configuration_says_how_to_mend_it() {
    let cases = [
        ("width", "0", "1 to 1024"),
        ("height", "1025", "1 to 1024"),
        ("mean", "1,2", "or three"),
        ("mean", "nan", "finite"),
        ("deviation", "1,0,1", "not 0"),
        ("top", "0", "at least one"),
        ("pixels", "0", "a picture has"),
        ("output", "a/#", "no wildcards"),
        ("lables", "a", "`lables` is not known"),
    ];
    for (key, value, expected) in cases {
        let Err(error) = Bench::<Classify>::with_config([(key, value)]) else { panic!("{key} = {value}") };
        assert!(error.to_string().contains(expected), "{error}");
    }
}
