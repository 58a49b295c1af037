//! Finding one value in a JSON payload by a path that people write into a configuration.
//!
//! The whole payload is read, so a payload that is no JSON is an error wherever in it the mistake is.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// A way to a value: names and, in lists, places from 0, joined by dots, such as `sensors.0.value`.
/// The empty path is the payload itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path {
    steps: Vec<String>,
}

impl Path {
    /// The value there, if there is one.
    pub fn find<'value>(&self, whole: &'value Value) -> Option<&'value Value> {
        self.steps.iter().try_fold(whole, |value, step| match value {
            Value::Object(fields) => fields.get(step),
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// The number there. The error says what is there instead.
    pub fn number(&self, whole: &Value) -> Result<f64, String> {
        let value = self.find(whole).ok_or_else(|| format!("there is no `{self}`"))?;
        value.as_f64().ok_or_else(|| format!("`{self}` is not a number"))
    }

    /// The text there; a number or a truth value counts as its text.
    pub fn text(&self, whole: &Value) -> Result<String, String> {
        match self.find(whole) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            Some(Value::Bool(truth)) => Ok(truth.to_string()),
            Some(_) => Err(format!("`{self}` is not a text")),
            None => Err(format!("there is no `{self}`")),
        }
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let steps: Vec<String> = text.split('.').map(String::from).collect();
        if steps.iter().any(String::is_empty) {
            return Err("a path is names joined by single dots, such as `device.temperature`".into());
        }
        Ok(Self { steps })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() { write!(out, "the payload") } else { write!(out, "{}", self.steps.join(".")) }
    }
}

/// A payload read as JSON.
pub fn read(payload: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(payload).map_err(|error| format!("not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_finds_numbers_or_says_what_is_there() {
        let whole = read(br#"{"a": {"b": [1, 2.5]}, "c": "7", "d": null}"#).unwrap();
        let cases = [
            ("a.b.1", Ok(2.5)),
            ("a.b.2", Err("there is no `a.b.2`")),
            ("a.b", Err("`a.b` is not a number")),
            ("a.b.x", Err("there is no `a.b.x`")),
            ("c", Err("`c` is not a number")),
            ("d", Err("`d` is not a number")),
            ("c.d", Err("there is no `c.d`")),
            ("", Err("`the payload` is not a number")),
        ];
        for (path, expected) in cases {
            let found = path.parse::<Path>().unwrap().number(&whole);
            assert_eq!(found, expected.map_err(String::from), "{path}");
        }
        assert_eq!(Path::default().number(&read(b"4").unwrap()), Ok(4.0));
    }

    #[test]
    fn plain_values_have_a_text() {
        let whole = read(br#"{"a": "x", "b": 3, "c": true, "d": []}"#).unwrap();
        for (path, expected) in [("a", Some("x")), ("b", Some("3")), ("c", Some("true")), ("d", None), ("e", None)] {
            assert_eq!(path.parse::<Path>().unwrap().text(&whole).ok().as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn what_is_no_json_or_no_path_is_an_error() {
        for payload in [&b""[..], b"{", b"1e999", b"NaN", b"\xff", b"1 2"] {
            assert!(read(payload).is_err(), "{payload:?}");
        }
        for path in [".", "a.", ".a", "a..b"] {
            assert!(path.parse::<Path>().is_err(), "{path}");
        }
    }
}
