//! onnxruntime in a child.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use edgewit_domain::config::{Backend, Provider};
use edgewit_domain::limits::MIB;
use edgewit_domain::model::ErrorKind;
use edgewit_inference::session::Loaded;
use edgewit_inference::worker::{Limits, Remote};
use edgewit_inference::{Kit, LoadError, library};

use crate::support::{
    LIMITS, ONNXRUNTIME, WORKER, bad, cases, children, floats, kit, model, run, session, start, work,
};

const CUDA: Backend = Backend::Onnxruntime { provider: Provider::Cuda, threads: 1 };
const LONG: Duration = Duration::from_secs(30);

#[test]
fn onnxruntime_says_what_the_reference_says() {
    for (case, threads) in cases().iter().zip([1, 3].into_iter().cycle()) {
        let backend = Backend::Onnxruntime { provider: Provider::Cpu, threads };
        let remote = start(backend, &case.model, LIMITS).unwrap();
        let inputs = remote.description().arrange(case.inputs.clone()).unwrap();
        case.check(&run(session(&remote).as_mut(), inputs, LONG).unwrap());
    }
}

#[test]
fn a_library_that_is_not_there_is_an_error_with_its_cure() {
    let kit = Kit { onnxruntime: Some(PathBuf::from("/nowhere/libonnxruntime.so")), ..kit() };
    let LoadError::Library(text) = library::find(&kit).unwrap_err() else { panic!("another error") };
    assert!(
        text.starts_with("/nowhere/libonnxruntime.so, which [onnxruntime] library names, cannot be used"),
        "{text}"
    );
}

#[test]
fn a_library_without_the_provider_says_so() {
    let LoadError::Library(text) = start(CUDA, "fixtures/batch.onnx", LIMITS).err().unwrap() else {
        panic!("another error")
    };
    assert!(text.contains("was built without CUDA; install a build of onnxruntime for GPUs"), "{text}");
}

#[test]
fn what_is_no_library_says_so() {
    let kit = Kit { onnxruntime: Some(WORKER.into()), ..kit() };
    let LoadError::Library(text) =
        Remote::start(&work(ONNXRUNTIME), model("fixtures/batch.onnx"), LIMITS, &kit).err().unwrap()
    else {
        panic!("another error")
    };
    assert!(text.starts_with("onnxruntime cannot be used: failed to load from"), "{text}");
}

/// Each with what is said of it, where it does not load.
#[test]
fn a_model_that_was_made_to_hurt_hurts_nobody() {
    let limits = Limits { memory: 128 * MIB, load: Duration::from_secs(3) };
    for file in bad() {
        let begun = Instant::now();
        let said = start(ONNXRUNTIME, &file, limits).map_or_else(|error| error.to_string(), |_| "loaded".to_owned());
        println!("{file}: {said} [{:?}]", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(10), "{file}");
        assert!(children().is_empty(), "{file}");
    }
}

/// The weight lies in a file that is there, and that anybody may read.
#[test]
fn no_file_is_opened_for_a_model() {
    let error = start(ONNXRUNTIME, "bad/external-absolute.onnx", LIMITS).err().unwrap();
    assert!(error.to_string().contains("lies in another file, which is not read"), "{error}");
}

#[test]
fn memory_and_time_are_bounded() {
    let remote = start(ONNXRUNTIME, "bad/filled-when-run.onnx", LIMITS).unwrap();
    let error = run(session(&remote).as_mut(), vec![floats(&[1], 1.0)], LONG).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge, "{error}");
    let remote = start(ONNXRUNTIME, "bad/slow-nodes.onnx", LIMITS).unwrap();
    let mut session = session(&remote);
    let pid = children();
    let begun = Instant::now();
    let error = run(session.as_mut(), vec![floats(&[1], 1.0)], Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    run(session.as_mut(), vec![floats(&[1], 1.0)], Duration::from_secs(120)).unwrap();
    assert_eq!(children(), pid, "the child stopped between two steps, and did not have to load again");
}

/// With a graphics card only: `EDGEWIT_TEST_CUDA` names an onnxruntime for it.
#[test]
fn cuda_says_what_the_reference_says() {
    let library = std::env::var_os("EDGEWIT_TEST_CUDA").map(PathBuf::from);
    let (true, Some(library)) = (Path::new("/dev/nvidia0").exists(), library) else {
        println!("NOT RUN: there is no /dev/nvidia0, or EDGEWIT_TEST_CUDA names no onnxruntime that computes on it");
        return;
    };
    let kit = Kit { onnxruntime: Some(library), ..kit() };
    for case in cases() {
        let remote = Remote::start(&work(CUDA), model(&case.model), LIMITS, &kit).unwrap();
        let mut session = session(&remote);
        let inputs = || remote.description().arrange(case.inputs.clone()).unwrap();
        case.check(&run(session.as_mut(), inputs(), LONG).unwrap());
        let begun = Instant::now();
        (0..100).for_each(|_| drop(run(session.as_mut(), inputs(), LONG).unwrap()));
        println!("{}: {:?} each", case.model, begun.elapsed() / 100);
    }
}
