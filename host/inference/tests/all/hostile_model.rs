//! Models that were made to hurt: each ends as an error that says why, in bounded time and memory, and leaves nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use edgewit_domain::limits::MIB;
use edgewit_domain::model::{Dimension, ErrorKind, PortType};
use edgewit_domain::tensor::Tensor;
use edgewit_inference::LoadError;
use edgewit_inference::session::Loaded;
use edgewit_inference::worker::Limits;

use crate::support::{LIMITS, ONNXRUNTIME, TRACT, bad, children, floats, open_files, run, session, start};

#[test]
fn a_model_that_was_made_to_hurt_is_refused_with_its_cause_and_leaves_nothing() {
    let files = open_files();
    let limits = Limits { memory: 64 * MIB, load: Duration::from_secs(3) };
    for file in bad() {
        let begun = Instant::now();
        let said = match start(TRACT, &file, limits) {
            Ok(_) => "loaded".to_owned(),
            Err(error) => error.to_string(),
        };
        println!("{file}: {said} [{:?}]", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(8), "{file}");
        assert!(!said.is_empty() && said.len() < 5000, "{file}: {said}");
        assert!(children().is_empty(), "{file}");
    }
    assert_eq!(open_files(), files);
}

#[test]
fn a_model_that_takes_more_memory_than_it_may_is_refused() {
    let error = start(TRACT, "bad/filled-when-loaded.onnx", LIMITS).err().unwrap();
    assert!(matches!(error, LoadError::Exhausted { limit } if limit == LIMITS.memory), "{error:?}");
}

#[test]
fn an_inference_that_takes_more_memory_than_it_may_is_refused_and_the_next_model_loads() {
    let remote = start(TRACT, "bad/filled-when-run.onnx", LIMITS).unwrap();
    let mut session = session(&remote);
    for _ in 0..2 {
        let error = run(session.as_mut(), vec![floats(&[1], 1.0)], Duration::from_secs(20)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooLarge, "{error}");
    }
}

#[test]
fn a_model_that_takes_longer_to_load_than_it_may_is_refused() {
    let load = Duration::from_millis(200);
    let begun = Instant::now();
    let error = start(TRACT, "bad/slow-when-loaded.onnx", Limits { load, memory: 4096 * MIB }).err().unwrap();
    assert!(matches!(error, LoadError::Time(limit) if limit == load), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(children().is_empty());
}

/// Each twice, since whoever asks next is to be answered as the first was. Of the ones that load, and hurt when they run.
#[test]
fn an_inference_that_was_made_to_hurt_ends_in_time_whatever_computes() {
    let limits = Limits { memory: 128 * MIB, load: Duration::from_secs(20) };
    let mut said = BTreeMap::new();
    for (backend, file) in
        [TRACT, ONNXRUNTIME].into_iter().flat_map(|backend| bad().into_iter().map(move |file| (backend, file)))
    {
        let Ok(remote) = start(backend, &file, limits) else { continue };
        let mut session = session(&remote);
        for round in 0..2 {
            let inputs = remote.description().inputs.iter().map(|port| {
                let PortType::Tensor(ty) = port.ty else { return None };
                let size = |dimension: &Dimension| match dimension {
                    Dimension::Fixed(size) => *size,
                    Dimension::Any(_) => 1,
                };
                Some(Tensor::zeros(ty, port.dimensions.iter().map(size).collect()).unwrap())
            });
            let Some(inputs) = inputs.collect() else { continue };
            let begun = Instant::now();
            let answer = run(session.as_mut(), inputs, Duration::from_millis(300));
            assert!(begun.elapsed() < Duration::from_secs(3), "{file}: {:?}", begun.elapsed());
            let text = answer.map_or_else(|error| format!("{:?}: {error}", error.kind), |_| "computed".to_owned());
            println!("{} {file} {round}: {text} [{:?}]", backend.name(), begun.elapsed());
            said.insert((backend.name(), file.clone(), round), text);
        }
    }
    for (backend, file, why) in [
        ("tract", "division", "Runtime: tract failed: attempt to divide by zero"),
        ("tract", "filled-when-run", "TooLarge: it needed more than the 134217728 bytes"),
        ("tract", "slow-nodes", "Timeout"),
        ("onnxruntime", "division", "Integer division by zero"),
        ("onnxruntime", "endless", "Timeout"),
        ("onnxruntime", "filled-when-loaded", "TooLarge: it needed more than the 134217728 bytes"),
        ("onnxruntime", "filled-when-run", "TooLarge: it needed more than the 134217728 bytes"),
        ("onnxruntime", "slow-node", "Timeout"),
        ("onnxruntime", "slow-nodes", "Timeout"),
    ] {
        for round in 0..2 {
            let text = &said[&(backend, format!("bad/{file}.onnx"), round)];
            assert!(text.contains(why), "{backend} {file}: {text}");
        }
    }
    assert!(children().is_empty());
}
