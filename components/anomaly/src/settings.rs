//! What can be configured, read and checked at once. The README lists the keys.

use edgewit_sdk::shadow::ShadowId;
use edgewit_sdk::topic::Template;
use edgewit_sdk::{ConfigError, config, json};

const KEYS: &[&str] = &[
    "field",
    "model",
    "input",
    "reconstruction",
    "window",
    "above",
    "hysteresis",
    "output",
    "scores",
    "retain",
    "sources",
    "thing",
    "shadow",
    "shadow_field",
];

/// A handling keeps its source's readings as one value, and many sources have theirs in memory.
const MOST_READINGS: usize = 1024;

pub struct Settings {
    /// Where the number is.
    pub field: json::Path,
    /// The model's name among the grants, and those of what it takes and gives.
    pub model: String,
    pub input: String,
    pub reconstruction: String,
    /// How many readings the model takes.
    pub window: usize,
    /// The greatest usual score, where the shadow says no other.
    pub above: f64,
    pub hysteresis: f64,
    pub output: Template,
    /// Where every score goes; nowhere where not configured.
    pub scores: Option<Template>,
    pub retain: bool,
    pub sources: usize,
    /// Where another limit is desired and reported, and as what.
    pub shadow: ShadowId,
    pub shadow_field: String,
}

impl Settings {
    pub fn from_config() -> Result<Self, ConfigError> {
        config::only(KEYS)?;
        let settings = Self {
            field: config::or("field", json::Path::default())?,
            model: config::or("model", "anomaly".to_string())?,
            input: config::or("input", "readings".to_string())?,
            reconstruction: config::or("reconstruction", "reconstruction".to_string())?,
            window: config::or("window", 16)?,
            above: config::or("above", 0.3)?,
            hysteresis: config::or("hysteresis", 0.1)?,
            output: template("output", config::or("output", "anomalies/{topic}".to_string())?)?,
            scores: config::optional("scores")?.map(|text| template("scores", text)).transpose()?,
            retain: config::or("retain", false)?,
            sources: config::or("sources", 256)?,
            shadow: ShadowId { thing: config::optional("thing")?, name: config::optional("shadow")? },
            shadow_field: config::or("shadow_field", "anomaly_above".to_string())?,
        };
        if !(1..=MOST_READINGS).contains(&settings.window) {
            return Err(ConfigError::invalid("window", format!("a window has 1 to {MOST_READINGS} readings")));
        }
        if settings.sources == 0 {
            return Err(ConfigError::invalid("sources", "at least one source must be remembered"));
        }
        if !(settings.hysteresis.is_finite() && settings.hysteresis >= 0.0) {
            return Err(ConfigError::invalid("hysteresis", "expected a finite number, not less than 0"));
        }
        settings.check(settings.above).map_err(|reason| ConfigError::invalid("above", reason))?;
        Ok(settings)
    }

    /// Whether this can be the limit; the error says why not.
    pub fn check(&self, above: f64) -> Result<(), String> {
        if !above.is_finite() {
            return Err("expected a finite number".into());
        }
        if above < self.hysteresis {
            return Err(format!("less than `hysteresis`, {}: an anomaly could not clear", self.hysteresis));
        }
        Ok(())
    }
}

fn template(key: &'static str, text: String) -> Result<Template, ConfigError> {
    Template::parse(&text, &[]).map_err(|reason| ConfigError::invalid(key, reason))
}
