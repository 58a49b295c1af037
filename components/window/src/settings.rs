//! What can be configured, read and checked at once. The README lists the keys.

use edgewit_sdk::topic::Template;
use edgewit_sdk::{ConfigError, config, json};

const KEYS: &[&str] = &["field", "key_field", "time_field", "output", "timer", "keys", "retain"];

/// A handling may change a few more keys of a bucket.
const MOST_KEYS: usize = 4000;

pub struct Settings {
    /// Where the number is.
    pub field: json::Path,
    /// Where the name of its group is; the topic where not configured.
    pub key_field: Option<json::Path>,
    /// Where its time is, in milliseconds since 1970; nothing is late where not configured.
    pub time_field: Option<json::Path>,
    pub output: Template,
    /// The timer of the configuration that ends a window.
    pub timer: String,
    /// How many groups one window may have.
    pub keys: usize,
    pub retain: bool,
}

impl Settings {
    pub fn from_config() -> Result<Self, ConfigError> {
        if config::get("every").is_some() {
            let reason = "how long a window is stands at its timer: [component.NAME.timer.window] every = \"…\"";
            return Err(ConfigError::invalid("every", reason));
        }
        config::only(KEYS)?;
        let key_field: Option<json::Path> = config::optional("key_field")?;
        let usual_output = if key_field.is_some() { "windows/{key}" } else { "windows/{topic}" };
        let output = config::or("output", usual_output.to_string())?;
        let settings = Self {
            field: config::or("field", json::Path::default())?,
            key_field,
            time_field: config::optional("time_field")?,
            output: Template::parse(&output, &["key"]).map_err(|reason| ConfigError::invalid("output", reason))?,
            timer: config::or("timer", "window".to_string())?,
            keys: config::or("keys", 256)?,
            retain: config::or("retain", false)?,
        };
        if settings.keys == 0 {
            return Err(ConfigError::invalid("keys", "a window needs room for at least one key"));
        }
        if settings.keys > MOST_KEYS {
            let reason = format!("a window has at most {MOST_KEYS} keys, since it ends in one handling");
            return Err(ConfigError::invalid("keys", reason));
        }
        Ok(settings)
    }
}
