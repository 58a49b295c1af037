//! Models in a configuration: what is read, what a reload makes of it, what looks like a slip.

use std::path::Path;
use std::time::Duration;

use edgewit_domain::config::{Backend, Change, Changes, Differences, ModelLoadGrant, Precision, Provider};
use edgewit_domain::digest::Digest;
use edgewit_domain::limits;

use crate::config::{FULL, MINIMAL, good};

#[test]
fn a_model_is_read_key_by_key() {
    let config = good(FULL);
    assert_eq!(config.onnxruntime.library.as_deref(), Some(Path::new("/usr/lib/libonnxruntime.so.1")));
    let model = &config.models["anomaly"];
    assert_eq!((&*model.name, model.file.as_path()), ("anomaly", Path::new("models/anomaly.onnx")));
    assert_eq!(model.digest, Some(Digest::of(b"abc")));
    assert_eq!(model.backend, Backend::Tract { precision: Precision::Half });
    assert_eq!(model.shapes["input:0"], [1, 64]);
    assert_eq!((model.warm_up, model.instances, model.queue), (3, 2, 8));
    assert_eq!((model.memory, model.time), (24 * limits::MIB, Duration::from_millis(250)));
    let classify = &config.models["classify"];
    assert_eq!(classify.backend, Backend::Onnxruntime { provider: Provider::Cuda, threads: 4 });
    let grants = &config.components["average"].grants;
    assert_eq!((&*grants.model["anomaly"], &*grants.model["MobileNet v2"]), ("anomaly", "classify"));
    let load = ModelLoadGrant { bytes: 2 * limits::MIB, memory: 48 * limits::MIB, time: Duration::from_secs(3) };
    assert_eq!(grants.model_load, Some(load));
}

#[test]
fn what_a_model_leaves_out_is_the_default() {
    let config = good(&format!("{MINIMAL}\n[model.a]\nfile = \"a.onnx\""));
    let model = &config.models["a"];
    assert_eq!((model.digest, model.backend), (None, Backend::Tract { precision: Precision::Full }));
    assert!(model.shapes.is_empty() && config.onnxruntime.library.is_none());
    assert_eq!((model.warm_up, model.instances), (limits::MODEL_WARM_UP.default, limits::MODEL_INSTANCES.default));
    assert_eq!((model.queue, model.memory), (limits::MODEL_QUEUE.default, limits::MODEL_MEMORY.default));
    assert_eq!(model.time, limits::MODEL_TIME.default);
}

/// A model of its own is loaded anew; a component whose grant for it changed was linked by that grant.
#[test]
fn a_reload_names_the_models_that_differ() {
    let edited = |old: &str, new: &str| {
        assert!(FULL.contains(old), "{old} is not in the full file");
        good(FULL).changes(&good(&FULL.replacen(old, new, 1)))
    };
    let changed = |name: &str| Differences { changed: vec![name.into()], ..Differences::default() };
    for (old, new, name) in [
        ("models/anomaly.onnx", "models/anomaly-2.onnx", "anomaly"),
        ("precision = \"half\"", "", "anomaly"),
        ("[1, 64]", "[1, 65]", "anomaly"),
        ("time = \"250ms\"", "time = \"251ms\"", "anomaly"),
        ("provider = \"cuda\"", "", "classify"),
    ] {
        assert_eq!(edited(old, new), Changes { models: changed(name), ..Changes::default() }, "{old} -> {new}");
    }
    let library = edited("libonnxruntime.so.1", "libonnxruntime.so.2");
    assert_eq!((library.gateway.as_slice(), library.models), (&["onnxruntime"][..], Differences::default()));
    for (old, new) in [("anomaly = \"anomaly\"", "anomaly = \"classify\""), ("time = \"3s\"", "time = \"4s\"")] {
        assert_eq!(edited(old, new).changed.get("average"), Some(&Change::Replace), "{old} -> {new}");
    }
}

#[test]
fn a_model_for_nobody_or_slower_than_its_user_is_told() {
    let told = |tables: &str| {
        let config = good(&format!("{MINIMAL}\n{tables}"));
        let of_models = |warning: &String| warning.contains("model");
        config.warnings().iter().map(ToString::to_string).filter(of_models).collect::<Vec<_>>()
    };
    let model = "[model.m]\nfile = \"m.onnx\"\ntime = \"2s\"\n";
    assert_eq!(told(model), ["model.m: loaded for nobody: no component is granted it"]);
    let user = |wall: &str| {
        format!(
            "{model}[component.a]\nartifact = \"a.wasm\"\nsubscribe.s = {{ filter = \"x\", delivery = \"live\" }}\n\
             grant.model.m = \"m\"\nlimits.wall = \"{wall}\"\n"
        )
    };
    assert_eq!(told(&user("2s")), [""; 0]);
    let half = told(&user("2s").replacen("time", "precision = \"half\"\ntime", 1));
    assert!(half.len() == 1 && half[0].starts_with("model.m.precision: only a processor"), "{half:?}");
    assert_eq!(told(&user("1s")), ["component.a.limits.wall: 1s end a handling before model.m may take its 2s"]);
}
