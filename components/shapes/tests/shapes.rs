//! A component exports what it named and imports what it calls, and nothing else: what it imports, it must be granted.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeSet;
use std::path::Path;

use wasmparser::{Parser, Payload};

const MESSAGES: &str = "edgewit:pubsub/handler@0.1.0";
const TICKS: &str = "edgewit:timer/handler@0.1.0";
const DELTAS: &str = "edgewit:shadow/handler@0.1.0";
const CHANGES: &str = "edgewit:shadow/observer@0.1.0";
const INIT: &str = "edgewit:lifecycle/start@0.1.0";
const HEALTH: &str = "edgewit:lifecycle/health@0.1.0";
const STATE: &str = "edgewit:lifecycle/state@0.1.0";

const PUBLISH: &str = "edgewit:pubsub/publisher@0.1.0";
const TIMERS: &str = "edgewit:timer/scheduler@0.1.0";
const SHADOWS: &str = "edgewit:shadow/store@0.1.0";
const CONFIG: &str = "wasi:config/store@0.2.0-rc.1";
const BUCKETS: &str = "wasi:keyvalue/store@0.2.0-draft";
const ATOMICS: &str = "wasi:keyvalue/atomics@0.2.0-draft";
const BATCH: &str = "wasi:keyvalue/batch@0.2.0-draft";
const GRAPHS: &str = "wasi:nn/graph@0.2.0-rc-2024-10-28";
const TENSORS: &str = "wasi:nn/tensor@0.2.0-rc-2024-10-28";
const INFERENCE: &str = "wasi:nn/inference@0.2.0-rc-2024-10-28";
const INFERENCE_ERRORS: &str = "wasi:nn/errors@0.2.0-rc-2024-10-28";
const LOG: &str = "wasi:logging/logging@0.1.0-draft";

#[derive(Default)]
struct Shape {
    exports: BTreeSet<String>,
    imports: BTreeSet<String>,
}

/// Imports and exports of the component itself; what nested ones have is their own matter.
fn shape(file: &str) -> Shape {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/wasm32-wasip2/release").join(file);
    let bytes =
        std::fs::read(&path).unwrap_or_else(|error| panic!("run `cargo xtask guests` first: {path:?}: {error}"));
    let mut shape = Shape::default();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                shape.imports.extend(section.into_iter().map(|import| import.unwrap().name.name.to_string()));
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                shape.exports.extend(section.into_iter().map(|export| export.unwrap().name.name.to_string()));
            }
            _ => {}
        }
    }
    shape
}

/// What needs a grant or a word in the configuration. Types alone call nothing, and std brings its own of `wasi:`.
fn is_capability(import: &str) -> bool {
    let types = import.starts_with("edgewit:") && import.contains("/types@");
    let of_std = ["wasi:io/", "wasi:cli/", "wasi:clocks/", "wasi:random/", "wasi:filesystem/"];
    !types && !of_std.iter().any(|package| import.starts_with(package))
}

fn check(file: &str, exports: &[&str], imports: &[&str]) {
    let shape = shape(file);
    let expected: BTreeSet<String> = exports.iter().map(ToString::to_string).collect();
    assert_eq!(shape.exports, expected, "exports of {file}");
    let capabilities: BTreeSet<String> = shape.imports.into_iter().filter(|import| is_capability(import)).collect();
    let expected: BTreeSet<String> = imports.iter().map(ToString::to_string).collect();
    assert_eq!(capabilities, expected, "imports of {file}");
}

#[test]
fn components_have_the_shape_that_their_documentation_says() {
    check("threshold.wasm", &[MESSAGES, INIT], &[PUBLISH, CONFIG, LOG, BUCKETS]);
    check("window.wasm", &[MESSAGES, TICKS, INIT], &[PUBLISH, CONFIG, LOG, BUCKETS, BATCH]);
    check("setpoint.wasm", &[DELTAS, INIT], &[PUBLISH, SHADOWS, CONFIG, LOG]);
    check("sensors.wasm", &[TICKS, INIT, STATE], &[PUBLISH, CONFIG]);
    let nn = [GRAPHS, TENSORS, INFERENCE, INFERENCE_ERRORS];
    let anomaly = [&nn[..], &[PUBLISH, SHADOWS, CONFIG, LOG, BUCKETS]].concat();
    check("anomaly.wasm", &[MESSAGES, DELTAS, INIT], &anomaly);
    check("classify.wasm", &[MESSAGES, INIT], &[&nn[..], &[PUBLISH, CONFIG]].concat());
}

#[test]
fn fixtures_export_and_import_only_what_they_use() {
    check("bomb_seed.wasm", &[MESSAGES], &[]);
    check("chatty.wasm", &[MESSAGES], &[CONFIG, LOG]);
    check("circle.wasm", &[MESSAGES], &[PUBLISH, CONFIG]);
    check("counter.wasm", &[MESSAGES, INIT, STATE], &[PUBLISH, LOG]);
    check("echo.wasm", &[MESSAGES], &[PUBLISH, CONFIG]);
    check("error.wasm", &[MESSAGES], &[PUBLISH, CONFIG]);
    check("files.wasm", &[MESSAGES], &[PUBLISH]);
    check("flood.wasm", &[MESSAGES], &[PUBLISH, CONFIG, LOG]);
    check("hog.wasm", &[MESSAGES], &[PUBLISH]);
    check(
        "http_hang.wasm",
        &[MESSAGES],
        &[PUBLISH, CONFIG, "wasi:http/types@0.2.12", "wasi:http/outgoing-handler@0.2.12"],
    );
    check("importer.wasm", &[MESSAGES], &[PUBLISH, TIMERS]);
    check("init_fail.wasm", &[MESSAGES, INIT], &[PUBLISH, CONFIG]);
    check("keyvalue.wasm", &[MESSAGES], &[PUBLISH, BUCKETS, ATOMICS, BATCH]);
    check("recurse.wasm", &[MESSAGES], &[]);
    check("shadows.wasm", &[MESSAGES, DELTAS, CHANGES], &[PUBLISH, SHADOWS]);
    check("sick.wasm", &[MESSAGES, HEALTH], &[PUBLISH, CONFIG]);
    check("sleeper.wasm", &[MESSAGES], &[PUBLISH]);
    check("spin.wasm", &[MESSAGES], &[PUBLISH]);
    check("timers.wasm", &[MESSAGES, TICKS], &[PUBLISH, TIMERS]);
    check("trap.wasm", &[MESSAGES], &[]);
    check("trap_half.wasm", &[MESSAGES], &[PUBLISH]);
    check("trespass.wasm", &[MESSAGES], &[PUBLISH, CONFIG, LOG]);
}
