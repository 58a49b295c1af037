//! The arrows between the crates: `cli → gateway → {sandbox, net, store} → domain`, and none other; what computes and
//! what compiles share how a child of this binary is kept.

use super::File;

/// Crate folder, and the crates of this repository that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("host/domain", &[]),
    ("host/store", &["edgewit-domain"]),
    ("host/net", &["edgewit-domain"]),
    ("host/worker", &["edgewit-domain"]),
    ("host/sandbox", &["edgewit-domain", "edgewit-worker"]),
    ("host/inference", &["edgewit-domain", "edgewit-worker"]),
    (
        "host/gateway",
        &["edgewit-domain", "edgewit-store", "edgewit-net", "edgewit-sandbox", "edgewit-inference", "edgewit-worker"],
    ),
    ("host/cli", &["edgewit-domain", "edgewit-gateway", "edgewit-sandbox", "edgewit-inference", "edgewit-worker"]),
    ("guest-sdk", &[]),
    ("xtask", &[]),
];

/// A dependency, the crates that may have it, and what follows from it.
const OWNERS: &[(&str, &[&str], &str)] = &[
    ("wasmtime", &["host/sandbox", "benches"], "only the sandbox says wasmtime"),
    ("anyhow", &["host/cli", "xtask", "benches"], "errors are typed outside the command line"),
    (
        "tokio",
        &["host/net", "host/inference", "host/sandbox", "host/gateway", "host/cli", "benches"],
        "the domain and the store are synchronous",
    ),
];

pub fn check(files: &[File]) -> Vec<String> {
    let manifests =
        files.iter().filter_map(|file| Some((file.path.strip_suffix("/Cargo.toml")?, dependencies(&file.text))));
    manifests.flat_map(|(folder, names)| complaints(folder, &names)).collect()
}

fn complaints(folder: &str, names: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    if let Some((_, allowed)) = ARROWS.iter().find(|(path, _)| *path == folder) {
        let ours = names.iter().filter(|name| name.starts_with("edgewit"));
        found.extend(ours.filter(|name| !allowed.contains(&name.as_str())).map(|name| {
            format!("{folder}/Cargo.toml: depends on {name}, and arrows point only to {allowed:?} [layers]")
        }));
    }
    for (name, owners, why) in OWNERS {
        let watched = ARROWS.iter().any(|(path, _)| *path == folder);
        if watched && names.iter().any(|found| found == name) && !owners.contains(&folder) {
            found.push(format!("{folder}/Cargo.toml: depends on {name}; {why} [layers]"));
        }
    }
    found
}

/// What `[dependencies]` names; what only tests need is free.
fn dependencies(manifest: &str) -> Vec<String> {
    let after = manifest.split("[dependencies]").nth(1).unwrap_or_default();
    let section = after.split("\n[").next().unwrap_or_default();
    let name = |line: &str| line.split(['.', ' ', '=']).next().unwrap_or_default().trim().to_owned();
    section.lines().map(name).filter(|name| !name.is_empty() && !name.starts_with('#')).collect()
}
