//! What can be configured, read and checked at once. The README lists the keys.

use edgewit_sdk::topic::Template;
use edgewit_sdk::{ConfigError, config, json};

use crate::alert::Bounds;

const KEYS: &[&str] = &["field", "above", "below", "hysteresis", "output", "sources", "retain"];

pub struct Settings {
    pub field: json::Path,
    pub bounds: Bounds,
    pub output: Template,
    pub sources: usize,
    pub retain: bool,
}

impl Settings {
    pub fn from_config() -> Result<Self, ConfigError> {
        config::only(KEYS)?;
        let output = config::or("output", "alerts/{topic}".to_string())?;
        let settings = Self {
            field: config::or("field", json::Path::default())?,
            bounds: bounds()?,
            output: Template::parse(&output, &[]).map_err(|reason| ConfigError::invalid("output", reason))?,
            sources: config::or("sources", 256)?,
            retain: config::or("retain", false)?,
        };
        if settings.sources == 0 {
            return Err(ConfigError::invalid("sources", "at least one source must be remembered"));
        }
        Ok(settings)
    }
}

fn bounds() -> Result<Bounds, ConfigError> {
    let above = finite("above")?;
    let below = finite("below")?;
    let hysteresis = finite("hysteresis")?.unwrap_or(0.0);
    if above.is_none() && below.is_none() {
        return Err(ConfigError::conflict(&["above", "below"], "at least one of them is needed"));
    }
    if hysteresis < 0.0 {
        return Err(ConfigError::invalid("hysteresis", "it is not less than 0"));
    }
    if let (Some(above), Some(below)) = (above, below)
        && below + hysteresis > above - hysteresis
    {
        return Err(ConfigError::conflict(
            &["above", "below", "hysteresis"],
            "`below` + `hysteresis` must not exceed `above` - `hysteresis`, or an alert could not clear",
        ));
    }
    Ok(Bounds { above, below, hysteresis })
}

fn finite(key: &str) -> Result<Option<f64>, ConfigError> {
    match config::optional::<f64>(key)? {
        Some(number) if !number.is_finite() => Err(ConfigError::invalid(key, "expected a finite number")),
        number => Ok(number),
    }
}
