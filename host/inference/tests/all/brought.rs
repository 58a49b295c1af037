//! What a component brings computes in a child, within its grant.

use std::time::Duration;

use edgewit_domain::config::ModelLoadGrant;
use edgewit_domain::limits::MIB;
use edgewit_domain::model::{ErrorKind, InferenceError};
use edgewit_inference::Model;

use crate::asking::{PATIENCE, answer, one};
use crate::support::{cases, children, kit, model, until};

const GRANT: ModelLoadGrant = ModelLoadGrant { bytes: MIB, memory: 64 * MIB, time: PATIENCE };

fn bring(file: &str, grant: ModelLoadGrant) -> Result<Model, InferenceError> {
    Model::bring(model(file).to_vec(), grant, &kit())
}

/// Its dimensions may stay open, since its child can take no more than it was given.
#[test]
fn what_is_brought_computes_in_a_child_that_ends_with_it() {
    let brought = bring("fixtures/batch.onnx", GRANT).unwrap();
    let sizes: Vec<_> = cases().into_iter().filter(|case| case.model == "fixtures/batch.onnx").collect();
    assert!(sizes.len() > 1, "of one size only");
    for case in sizes {
        case.check(&answer(&brought, case.inputs.clone()).unwrap());
    }
    assert_eq!(children().len(), 1);
    drop(brought);
    until("its child has ended", || children().is_empty().then_some(()));
}

#[test]
fn what_is_brought_stays_within_its_grant() {
    let error = bring("fixtures/mobile.onnx", ModelLoadGrant { bytes: 1000, ..GRANT }).err().unwrap();
    assert_eq!(
        (error.kind, error.text.contains("grant.model-load.bytes is 1000")),
        (ErrorKind::TooLarge, true),
        "{error}"
    );

    let error = bring("bad/filled-when-loaded.onnx", GRANT).err().unwrap();
    assert_eq!(error.kind, ErrorKind::TooLarge, "{error}");

    let brought = bring("bad/filled-when-run.onnx", GRANT).unwrap();
    let error = answer(&brought, one(1.0)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge, "{error}");

    let grant = ModelLoadGrant { time: Duration::from_millis(100), memory: 1024 * MIB, ..GRANT };
    let brought = bring("bad/slow-node.onnx", grant).unwrap();
    let error = answer(&brought, one(1.0)).unwrap_err();
    let expected = "the model took longer than 100ms; its limit is grant.model-load.time";
    assert_eq!((error.kind, &*error.text), (ErrorKind::Timeout, expected));
}

#[test]
fn what_is_no_model_is_said() {
    for file in ["bad/truncated.onnx", "bad/cycle.onnx", "bad/external-absolute.onnx", "bad/input-text.onnx"] {
        let error = bring(file, GRANT).err().unwrap_or_else(|| panic!("{file}"));
        assert_eq!(error.kind, ErrorKind::Encoding, "{file}: {error}");
    }
    assert!(children().is_empty());
}
