//! The log: every `tracing` event of the gateway's threads becomes one [`LogLine`], which is kept for `edgewit logs`,
//! handed to whoever follows, and written to standard error.
//!
//! The subscriber belongs to one gateway and is entered by its threads; nothing global is set, so that two
//! gateways in one process do not mix their lines. Spans are not recorded: a line carries its own fields.
//!
//! Logging never waits: what cannot be written or kept up with is dropped and counted. Guests' lines come
//! rate-limited from the sandbox.

mod ring;
mod text;
mod writer;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use edgewit_domain::config::{Log, LogLevel};
use edgewit_domain::control::LogLine;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span;
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

use crate::clock::wall;
pub(crate) use ring::{Missed, Ring};
pub use text::{is_obeyed, line_text};
use writer::Writer;

/// The targets of edgewit's own events and of its guests'. Of other crates only warnings are of interest.
const OWN: &str = "edgewit";

/// One gateway's log.
#[derive(Clone)]
pub(crate) struct Telemetry {
    dispatch: Dispatch,
    ring: Arc<Ring>,
    level: Arc<AtomicU8>,
    writer: Option<Writer>,
}

impl Telemetry {
    /// `write`: also to standard error.
    pub fn new(config: Log, write: bool) -> std::io::Result<Self> {
        let ring = Arc::new(Ring::default());
        let level = Arc::new(AtomicU8::new(config.level as u8));
        let writer = if write { Some(Writer::start(config.format)?) } else { None };
        let recorder = Recorder { level: level.clone(), ring: ring.clone(), writer: writer.clone() };
        Ok(Telemetry { dispatch: Dispatch::new(recorder), ring, level, writer })
    }

    pub fn dispatch(&self) -> &Dispatch {
        &self.dispatch
    }

    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    pub fn set_level(&self, level: LogLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
        // Where there is but one subscriber, that of the current thread is asked, whichever it is.
        tracing::dispatcher::with_default(&self.dispatch, tracing::callsite::rebuild_interest_cache);
    }

    /// Writes what is still to be written and ends the writing thread.
    pub fn close(&self) {
        if let Some(writer) = &self.writer {
            writer.close();
        }
    }
}

struct Recorder {
    level: Arc<AtomicU8>,
    ring: Arc<Ring>,
    writer: Option<Writer>,
}

impl Recorder {
    fn filter(&self) -> LevelFilter {
        match self.level.load(Ordering::Relaxed) {
            0 => LevelFilter::ERROR,
            1 => LevelFilter::WARN,
            2 => LevelFilter::INFO,
            3 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        }
    }
}

impl Subscriber for Recorder {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_event() && self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = *metadata.level();
        metadata.is_event() && level <= self.filter() && (level <= Level::WARN || metadata.target().starts_with(OWN))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.filter())
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = LogLine {
            at_ms: wall().unix_ms,
            level: event.metadata().level().as_str().to_ascii_lowercase(),
            component: None,
            text: String::new(),
            fields: BTreeMap::new(),
        };
        event.record(&mut Fields(&mut line));
        let line = Arc::new(line);
        if let Some(writer) = &self.writer {
            writer.write(line.clone());
        }
        self.ring.push(line);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Puts an event's fields where they belong in a line.
struct Fields<'a>(&'a mut LogLine);

impl Fields<'_> {
    fn put(&mut self, name: &str, value: String) {
        match name {
            "message" => self.0.text = value,
            "component" => self.0.component = Some(value),
            _ => {
                self.0.fields.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a string fails only where the value's own `Debug` does; what it wrote until then is kept.
        let _ = write!(text, "{value:?}");
        self.put(field.name(), text);
    }

    /// An error with everything that led to it.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field.name(), crate::error::chain(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgewit_domain::config::LogFormat;

    fn lines(level: LogLevel, log: impl FnOnce(&Telemetry)) -> Vec<Arc<LogLine>> {
        let telemetry = Telemetry::new(Log { level, format: LogFormat::Text }, false).unwrap();
        tracing::dispatcher::with_default(telemetry.dispatch(), || log(&telemetry));
        telemetry.ring().last(100, None)
    }

    #[test]
    fn an_event_becomes_a_line_with_its_fields_in_place() {
        let lines = lines(LogLevel::Info, |_| {
            tracing::warn!(component = "average", attempt = 3, topic = %"a/b", "Gave up");
        });
        let line = lines.first().unwrap();
        assert_eq!((line.level.as_str(), line.text.as_str()), ("warn", "Gave up"));
        assert_eq!(line.component.as_deref(), Some("average"));
        assert_eq!(line.fields.get("attempt").map(String::as_str), Some("3"));
        assert_eq!(line.fields.get("topic").map(String::as_str), Some("a/b"));
    }

    #[test]
    fn the_level_can_be_changed_while_running() {
        let lines = lines(LogLevel::Warn, |telemetry| {
            let say = |text: &str| tracing::info!("{text}");
            say("one");
            telemetry.set_level(LogLevel::Info);
            say("two");
            telemetry.set_level(LogLevel::Error);
            say("three");
        });
        assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["two"]);
    }

    #[test]
    fn other_crates_are_heard_when_they_warn() {
        let lines = lines(LogLevel::Info, |_| {
            tracing::info!(target: "hyper::proto", "chatter");
            tracing::warn!(target: "hyper::proto", "trouble");
            tracing::info!(target: "edgewit::guest", component = "a", "hello");
        });
        assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["trouble", "hello"]);
    }
}
