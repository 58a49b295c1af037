//! `edgewit check`: a configuration, every component of it against its grants, and every model.
//!
//! Starts nothing, opens no port and writes nothing but a temporary folder. Finds everything there is to find in one
//! go: what is wrong with one component or model does not keep the next from being looked at.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use edgewit_domain::config::{Component, Config, Model, line_of};
use edgewit_domain::model::{Description, Port};
use edgewit_sandbox::Exports;
use edgewit_worker::WorkerCommand;
use serde::Serialize;
use tracing::Dispatch;

use crate::cloud::LinkFiles;
use crate::error::chain;
use crate::files::ConfigFile;
use crate::loading::{NEVER_RECYCLED, Source};
use crate::models::{LoadedModel, ModelSource, Models};
use crate::scratch::Scratch;
use crate::threads::Threads;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub file: String,
    /// What keeps something from running.
    pub findings: Vec<Finding>,
    /// What is allowed and looks like a slip.
    pub warnings: Vec<Finding>,
    /// Components that would run.
    pub components: BTreeMap<String, Checked>,
    /// Models that would answer.
    pub models: BTreeMap<String, CheckedModel>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Counted from 1, where there is a line to blame.
    pub line: Option<usize>,
    /// The key in the configuration; empty where none is to blame.
    pub path: String,
    pub problem: String,
    /// What to do; empty where the problem says so itself.
    pub cure: String,
}

/// A component that can be loaded, and is granted all that it imports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    pub digest: String,
    /// What the gateway can call.
    pub exports: Vec<String>,
}

/// A model that can be loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckedModel {
    pub digest: String,
    /// As they are written for people: `` `x`: [1, 64] of f32 ``.
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    /// Bytes that it takes with all instances busy, as far as its backend can tell.
    pub planned_memory: Option<u64>,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Checks the configuration at `path`. `worker` starts the children that look at what may be hostile.
pub fn check(path: &Path, worker: &WorkerCommand) -> Report {
    let mut report = Report { file: path.display().to_string(), ..Report::default() };
    let Some((file, text, config)) = read(path, &mut report) else { return report };
    report.warnings = config.warnings().into_iter().map(|warning| finding(&warning.path, warning.problem)).collect();
    for (name, cloud) in &config.clouds {
        let unread = LinkFiles::new(file.clone(), cloud).unread();
        let of_link = |(key, problem)| finding(&format!("cloud.{name}.{key}"), problem);
        report.warnings.extend(unread.into_iter().map(of_link));
    }
    let models = ModelSource::new(&file, worker.clone());
    config.models.values().for_each(|model| check_model(&models, model, &config, &mut report));
    // Components are looked at without one.
    let models = Arc::new(Models::new(&file, worker.clone(), &Threads::new(Dispatch::none())));
    let scratch = Scratch::new();
    let source =
        scratch.and_then(|scratch| Ok((scratch.source(&file, config.gateway.profile, worker, models)?, scratch)));
    match source {
        Ok((source, _scratch)) => {
            for component in config.components.values() {
                check_component(&source, component, &mut report);
            }
        }
        Err(error) => report.findings.push(finding("", chain(&error))),
    }
    for found in report.findings.iter_mut().chain(&mut report.warnings) {
        found.line = line_of(&text, &found.path.split('.').collect::<Vec<_>>());
    }
    report
}

fn read(path: &Path, report: &mut Report) -> Option<(ConfigFile, String, Config)> {
    let read = ConfigFile::open(path).and_then(|file| Ok((file.read()?, file)));
    let (text, file) = match read {
        Ok(read) => read,
        Err(error) => {
            report.findings.push(finding("", chain(&error)));
            return None;
        }
    };
    match Config::parse(&text) {
        Ok(config) => Some((file, text, config)),
        Err(mistakes) => {
            report.findings.extend(mistakes.iter().map(|mistake| Finding {
                line: mistake.line,
                path: mistake.path.clone(),
                problem: mistake.problem.clone(),
                cure: mistake.cure.clone(),
            }));
            None
        }
    }
}

fn check_component(source: &Source, component: &Component, report: &mut Report) {
    match source.load(component) {
        Ok(loaded) => {
            let checked = Checked { digest: loaded.digest.to_string(), exports: words(loaded.prepared.exports()) };
            report.components.insert(component.name.to_string(), checked);
            if loaded.is_never_recycled(component) {
                let path = format!("component.{}.recycle", component.name);
                report.warnings.push(finding(&path, NEVER_RECYCLED.to_owned()));
            }
        }
        Err(refusal) => report.findings.extend(refusal.obstacles().iter().map(|obstacle| {
            let path = format!("component.{}.{}", component.name, obstacle.key());
            finding(path.trim_end_matches('.'), chain(obstacle))
        })),
    }
}

fn check_model(source: &ModelSource, model: &Arc<Model>, config: &Config, report: &mut Report) {
    match source.load_configured(model, &config.onnxruntime) {
        Ok(LoadedModel { model: loaded, digest, .. }) => {
            let Description { inputs, outputs, planned, .. } = loaded.description();
            let shown = |ports: &[Port]| ports.iter().map(Port::to_string).collect();
            let checked = CheckedModel {
                digest: digest.to_string(),
                inputs: shown(inputs),
                outputs: shown(outputs),
                planned_memory: planned.map(|planned| planned.with(model.instances)),
            };
            report.models.insert(model.name.to_string(), checked);
        }
        Err(unloaded) => {
            let path = format!("model.{}.{}", model.name, unloaded.key());
            report.findings.push(finding(path.trim_end_matches('.'), chain(&unloaded)));
        }
    }
}

fn words(exports: Exports) -> Vec<String> {
    let Exports { message, tick, delta, change, start, health, state } = exports;
    let heard = [(message, "message"), (tick, "tick"), (delta, "delta"), (change, "change")];
    let all = heard.into_iter().chain([(start, "start"), (health, "health"), (state, "state")]);
    all.filter(|(exported, _)| *exported).map(|(_, word)| word.to_owned()).collect()
}

fn finding(path: &str, problem: String) -> Finding {
    Finding { line: None, path: path.to_owned(), problem, cure: String::new() }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            write_finding(f, &self.file, "", finding)?;
        }
        for warning in &self.warnings {
            write_finding(f, &self.file, "warning: ", warning)?;
        }
        for (name, checked) in &self.components {
            writeln!(f, "component.{name}: good; the gateway can call {}", checked.exports.join(", "))?;
        }
        for (name, CheckedModel { inputs, outputs, .. }) in &self.models {
            writeln!(f, "model.{name}: good; {} → {}", inputs.join(", "), outputs.join(", "))?;
        }
        match self.findings.len() {
            0 => write!(f, "{}: good", self.file),
            1 => write!(f, "{}: 1 mistake", self.file),
            count => write!(f, "{}: {count} mistakes", self.file),
        }
    }
}

fn write_finding(f: &mut fmt::Formatter<'_>, file: &str, kind: &str, finding: &Finding) -> fmt::Result {
    f.write_str(file)?;
    if let Some(line) = finding.line {
        write!(f, ":{line}")?;
    }
    write!(f, ": {kind}")?;
    if !finding.path.is_empty() {
        write!(f, "{}: ", finding.path)?;
    }
    writeln!(f, "{}", finding.problem.replace('\n', "\n    "))?;
    if !finding.cure.is_empty() {
        writeln!(f, "    {}", finding.cure)?;
    }
    Ok(())
}
