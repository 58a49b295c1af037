//! What can be configured, read and checked at once. The README lists the keys.

use edgewit_sdk::topic::Template;
use edgewit_sdk::{ConfigError, config};

use crate::fit::Wanted;

const KEYS: &[&str] = &[
    "model",
    "input",
    "probabilities",
    "softmax",
    "labels",
    "width",
    "height",
    "mean",
    "deviation",
    "top",
    "pixels",
    "output",
    "retain",
];

/// Pixels of a side that a model takes: three numbers of four bytes each make 12 MiB of the largest square.
const MOST_SIDE: usize = 1024;

/// Where a picture larger than this should come from: a message is not larger than 256 KiB.
const MOST_PIXELS: usize = 50_000_000;

pub struct Settings {
    /// The model's name among the grants, and those of what it takes and gives.
    pub model: String,
    pub input: String,
    pub probabilities: String,
    /// Whether the model leaves it to others to make probabilities of its numbers.
    pub softmax: bool,
    /// Of each of the model's numbers the name; none where not configured.
    pub labels: Vec<String>,
    pub wanted: Wanted,
    /// How many guesses are told.
    pub top: usize,
    /// How many pixels a picture may have.
    pub pixels: usize,
    pub output: Template,
    pub retain: bool,
}

impl Settings {
    pub fn from_config() -> Result<Self, ConfigError> {
        config::only(KEYS)?;
        let output = config::or("output", "classes/{topic}".to_string())?;
        let labels: String = config::or("labels", String::new())?;
        let settings = Self {
            model: config::or("model", "classify".to_string())?,
            input: config::or("input", "image".to_string())?,
            probabilities: config::or("probabilities", "probabilities".to_string())?,
            softmax: config::or("softmax", false)?,
            labels: names(&labels),
            wanted: Wanted {
                width: config::or("width", 32)?,
                height: config::or("height", 32)?,
                mean: colours("mean", 0.0)?,
                deviation: colours("deviation", 1.0)?,
            },
            top: config::or("top", 1)?,
            pixels: config::or("pixels", 4_000_000)?,
            output: Template::parse(&output, &[]).map_err(|reason| ConfigError::invalid("output", reason))?,
            retain: config::or("retain", false)?,
        };
        for (key, side) in [("width", settings.wanted.width), ("height", settings.wanted.height)] {
            if !(1..=MOST_SIDE).contains(&side) {
                return Err(ConfigError::invalid(key, format!("a side has 1 to {MOST_SIDE} pixels")));
            }
        }
        if settings.wanted.deviation.contains(&0.0) {
            return Err(ConfigError::invalid("deviation", "what is divided by is not 0"));
        }
        if settings.top == 0 {
            return Err(ConfigError::invalid("top", "at least one guess is told"));
        }
        if !(1..=MOST_PIXELS).contains(&settings.pixels) {
            return Err(ConfigError::invalid("pixels", format!("a picture has 1 to {MOST_PIXELS} pixels")));
        }
        Ok(settings)
    }
}

/// Lines of a file as well as names with commas between.
fn names(text: &str) -> Vec<String> {
    text.split([',', '\n']).map(str::trim).filter(|name| !name.is_empty()).map(String::from).collect()
}

/// One number, or one for each colour.
fn colours(key: &str, usual: f32) -> Result<[f32; 3], ConfigError> {
    let text: String = config::or(key, usual.to_string())?;
    let wrong = || ConfigError::invalid(key, "expected a finite number, or three with commas between");
    let numbers: Result<Vec<f32>, _> = text.split(',').map(|number| number.trim().parse::<f32>()).collect();
    let colours = match numbers.map_err(|_| wrong())?[..] {
        [all] => [all; 3],
        [red, green, blue] => [red, green, blue],
        _ => return Err(wrong()),
    };
    if colours.iter().all(|number| number.is_finite()) { Ok(colours) } else { Err(wrong()) }
}
