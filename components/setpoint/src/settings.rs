//! What can be configured, read and checked at once. The README lists the keys.

use edgewit_sdk::shadow::ShadowId;
use edgewit_sdk::{ConfigError, config, topic};
use serde_json::Value;

const KEYS: &[&str] = &["field", "output", "min", "max", "thing", "shadow"];

pub struct Settings {
    pub field: String,
    pub output: String,
    /// The shadow whose wishes are done at the start.
    pub shadow: ShadowId,
    min: Option<f64>,
    max: Option<f64>,
}

impl Settings {
    pub fn from_config() -> Result<Self, ConfigError> {
        config::only(KEYS)?;
        let field = config::or("field", "setpoint".to_string())?;
        let settings = Self {
            output: config::or("output", format!("actuators/{field}"))?,
            shadow: ShadowId { thing: config::optional("thing")?, name: config::optional("shadow")? },
            min: config::optional("min")?,
            max: config::optional("max")?,
            field,
        };
        topic::check(&settings.output).map_err(|reason| ConfigError::invalid("output", reason))?;
        match (settings.min, settings.max) {
            (Some(min), Some(max)) if min > max => {
                Err(ConfigError::conflict(&["min", "max"], "`min` must not exceed `max`"))
            }
            _ => Ok(settings),
        }
    }

    /// The error says why this cannot be done.
    pub fn check(&self, wish: &Value) -> Result<(), String> {
        let number = wish.as_f64().ok_or("it has to be a number")?;
        match (self.min, self.max) {
            (Some(min), _) if number < min => Err(format!("the least is {min}")),
            (_, Some(max)) if number > max => Err(format!("the most is {max}")),
            _ => Ok(()),
        }
    }
}
