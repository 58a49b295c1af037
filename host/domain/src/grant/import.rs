//! What becomes of an interface that a component imports.
//!
//! One table of every interface that the gateway can link, and what grant each needs. An interface that is
//! not in it is unknown, and a component that imports it is refused: nothing is linked by pattern.

use super::{Denied, Grants, Refused};

/// What to do with one import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Import {
    /// Link it: it gives nothing that needs a grant.
    Free,
    /// Link it: something of it is granted.
    Granted,
    /// Nothing of it is granted, yet guests import it whether they use it or not: link what refuses every call.
    Stub,
    /// Do not link it: refuse the component.
    Denied(Denied),
    /// The gateway has no such interface, or not in this version.
    Unknown,
}

#[derive(Clone, Copy)]
enum Needs {
    Nothing,
    Publish,
    Timer,
    Http,
    Dir,
    KeyValue,
    Shadow,
    Model,
    /// No grant gives it.
    Never,
}

use Needs::{Dir, Http, KeyValue, Model, Never, Nothing, Publish, Shadow, Timer};

/// Package, version, interface, needs. `*` stands for every release of that line.
const INTERFACES: [(&str, &str, &str, Needs); 44] = [
    ("edgewit:pubsub", "0.1.*", "types", Nothing),
    ("edgewit:pubsub", "0.1.*", "publisher", Publish),
    ("edgewit:shadow", "0.1.*", "types", Nothing),
    ("edgewit:shadow", "0.1.*", "store", Shadow),
    ("edgewit:timer", "0.1.*", "types", Nothing),
    ("edgewit:timer", "0.1.*", "scheduler", Timer),
    ("wasi:config", "0.2.0-rc.1", "store", Nothing),
    ("wasi:keyvalue", "0.2.0-draft", "store", KeyValue),
    ("wasi:keyvalue", "0.2.0-draft", "atomics", KeyValue),
    ("wasi:keyvalue", "0.2.0-draft", "batch", KeyValue),
    ("wasi:logging", "0.1.0-draft", "logging", Nothing),
    ("wasi:nn", "0.2.0-rc-2024-10-28", "tensor", Model),
    ("wasi:nn", "0.2.0-rc-2024-10-28", "graph", Model),
    ("wasi:nn", "0.2.0-rc-2024-10-28", "inference", Model),
    ("wasi:nn", "0.2.0-rc-2024-10-28", "errors", Model),
    ("wasi:cli", "0.2.*", "environment", Nothing),
    ("wasi:cli", "0.2.*", "exit", Nothing),
    ("wasi:cli", "0.2.*", "stdin", Nothing),
    ("wasi:cli", "0.2.*", "stdout", Nothing),
    ("wasi:cli", "0.2.*", "stderr", Nothing),
    ("wasi:cli", "0.2.*", "terminal-input", Nothing),
    ("wasi:cli", "0.2.*", "terminal-output", Nothing),
    ("wasi:cli", "0.2.*", "terminal-stdin", Nothing),
    ("wasi:cli", "0.2.*", "terminal-stdout", Nothing),
    ("wasi:cli", "0.2.*", "terminal-stderr", Nothing),
    ("wasi:io", "0.2.*", "error", Nothing),
    ("wasi:io", "0.2.*", "poll", Nothing),
    ("wasi:io", "0.2.*", "streams", Nothing),
    ("wasi:clocks", "0.2.*", "monotonic-clock", Nothing),
    ("wasi:clocks", "0.2.*", "wall-clock", Nothing),
    ("wasi:random", "0.2.*", "random", Nothing),
    ("wasi:random", "0.2.*", "insecure", Nothing),
    ("wasi:random", "0.2.*", "insecure-seed", Nothing),
    ("wasi:filesystem", "0.2.*", "types", Nothing),
    ("wasi:filesystem", "0.2.*", "preopens", Dir),
    ("wasi:http", "0.2.*", "types", Nothing),
    ("wasi:http", "0.2.*", "outgoing-handler", Http),
    ("wasi:sockets", "0.2.*", "network", Never),
    ("wasi:sockets", "0.2.*", "instance-network", Never),
    ("wasi:sockets", "0.2.*", "udp", Never),
    ("wasi:sockets", "0.2.*", "udp-create-socket", Never),
    ("wasi:sockets", "0.2.*", "tcp", Never),
    ("wasi:sockets", "0.2.*", "tcp-create-socket", Never),
    ("wasi:sockets", "0.2.*", "ip-name-lookup", Never),
];

pub(super) fn judge(grants: &Grants, import: &str) -> Import {
    let Some(needs) = needs(import) else { return Import::Unknown };
    let table = &grants.table;
    match needs {
        Nothing => Import::Free,
        Publish if table.publish.is_empty() => Import::Denied(grants.deny(Refused::Publisher)),
        Timer if table.timer_pending.is_none() => Import::Denied(grants.deny(Refused::Timers)),
        KeyValue if table.kv.is_empty() => Import::Denied(grants.deny(Refused::KeyValue)),
        Shadow if table.shadow.is_empty() => Import::Denied(grants.deny(Refused::ShadowStore)),
        Model if table.model.is_empty() && table.model_load.is_none() => Import::Denied(grants.deny(Refused::Models)),
        Publish | Timer | KeyValue | Shadow | Model => Import::Granted,
        Http if !table.http.is_empty() => Import::Granted,
        Dir if !table.dir.is_empty() => Import::Granted,
        Http | Dir | Never => Import::Stub,
    }
}

fn needs(import: &str) -> Option<Needs> {
    let (name, version) = import.split_once('@')?;
    let (package, interface) = name.split_once('/')?;
    let known = |row: &&(&str, &str, &str, Needs)| row.0 == package && row.2 == interface && is_of(version, row.1);
    INTERFACES.iter().find(known).map(|row| row.3)
}

/// Whether `version` is the one of the table, or a release of its line.
fn is_of(version: &str, known: &str) -> bool {
    match known.strip_suffix('*') {
        None => version == known,
        Some(line) => {
            let patch = version.strip_prefix(line);
            patch.is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
        }
    }
}
