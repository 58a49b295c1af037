//! Device shadows: what is desired of a device, what it reports, and what of that differs.
//!
//! ```
//! # use edgewit_sdk::{Delta, Failure, publish, shadow};
//! # use serde::{Deserialize, Serialize};
//! #[derive(Deserialize, Serialize)]
//! struct Valve {
//!     setpoint: Option<f64>,
//! }
//!
//! fn on_delta(delta: Delta) -> Result<(), Failure> {
//!     let wish: Valve = delta.state_as()?;
//!     if let Some(setpoint) = wish.setpoint {
//!         publish("actuators/valve", setpoint.to_string())?;
//!     }
//!     delta.shadow.report(&wish)
//! }
//! ```
//!
//! A shadow needs its grant: `[component.NAME.grant.shadow]` with `own = { allow = ["read", "report"] }`. A handling sees
//! its own changes; they take effect when it returns well. What it read is still so then, or it is handled again; what it
//! reported or desired without reading conflicts with nobody.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::bindings::imports::edgewit::shadow::types::{Change, Delta, Document, Rejection, ShadowError, ShadowId};
use crate::host;
use crate::message::Failure;

/// The classic shadow of the gateway's own thing.
pub fn own() -> ShadowId {
    ShadowId { thing: None, name: None }
}

/// The classic shadow of a thing.
pub fn of(thing: impl Into<String>) -> ShadowId {
    ShadowId { thing: Some(thing.into()), name: None }
}

/// Names of the named shadows of a thing, or of the gateway's own, in their order. They may be others when the handling
/// ends.
pub fn list(thing: Option<&str>) -> Result<Vec<String>, ShadowError> {
    let mut names: Vec<String> = Vec::new();
    loop {
        let page = page(thing, names.last().map(String::as_str))?;
        if page.is_empty() {
            return Ok(names);
        }
        names.extend(page);
    }
}

/// Some of these names: those behind `after`. An empty page is the end.
pub fn page(thing: Option<&str>, after: Option<&str>) -> Result<Vec<String>, ShadowError> {
    host::shadow_list(thing, after)
}

impl ShadowId {
    /// The shadow of this name of the same thing.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// The document; none where there is no such shadow.
    pub fn get(&self) -> Result<Option<Document>, ShadowError> {
        host::shadow_get(self)
    }

    /// What is reported; none where nothing is. A rejection where it is something else.
    pub fn reported<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        self.get()?.map_or(Ok(None), |document| document.reported_as())
    }

    /// What is desired; none where nothing is. A rejection where it is something else.
    pub fn desired<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        self.get()?.map_or(Ok(None), |document| document.desired_as())
    }

    /// What is desired and not reported; none where nothing differs. A rejection where it is something else.
    pub fn delta<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        self.get()?.map_or(Ok(None), |document| document.delta_as())
    }

    /// Reports a value: an object, which is merged into what is reported. A member that is `null`, as an `Option` that is
    /// `None`, is removed; let serde skip it where it is to stay.
    pub fn report(&self, value: &impl Serialize) -> Result<(), Failure> {
        Ok(self.update(&section("reported", value)?)?)
    }

    /// Desires a value: an object, which is merged into what is desired, as [`ShadowId::report`] does.
    pub fn desire(&self, value: &impl Serialize) -> Result<(), Failure> {
        Ok(self.update(&section("desired", value)?)?)
    }

    /// Merges a state: `{"desired": …, "reported": …}` as JSON.
    pub fn update(&self, state: &str) -> Result<(), ShadowError> {
        host::shadow_update(self, state)
    }

    /// The same, if the document has this version, or, if none is given, there is no such shadow.
    pub fn update_expecting(&self, state: &str, version: Option<u64>) -> Result<(), ShadowError> {
        host::shadow_update_expecting(self, state, version)
    }

    /// Removes the shadow, if there is one.
    pub fn delete(&self) -> Result<(), ShadowError> {
        host::shadow_delete(self)
    }
}

impl Document {
    /// What is desired, if anything is. A rejection where it is something else.
    pub fn desired_as<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        read("desired", self.desired.as_deref())
    }

    /// What is reported, if anything is. A rejection where it is something else.
    pub fn reported_as<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        read("reported", self.reported.as_deref())
    }

    /// What is desired and not reported, if anything is. A rejection where it is something else.
    pub fn delta_as<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        read("delta", self.delta.as_deref())
    }
}

impl Delta {
    /// What is desired and not reported: let every member of it be optional. A rejection where it is something else.
    pub fn state_as<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.state).map_err(|error| unexpected("delta", &error))
    }
}

fn section(name: &str, value: &impl Serialize) -> Result<String, Failure> {
    let value = serde_json::to_string(value).map_err(|error| Failure::Reject(format!("no JSON form: {error}")))?;
    Ok(format!("{{\"{name}\":{value}}}"))
}

fn read<T: DeserializeOwned>(what: &str, text: Option<&str>) -> Result<Option<T>, Failure> {
    let parsed = text.map(serde_json::from_str).transpose();
    parsed.map_err(|error| unexpected(what, &error))
}

fn unexpected(what: &str, error: &serde_json::Error) -> Failure {
    Failure::Reject(format!("the {what} state of the shadow is not as expected: {error}"))
}

impl ShadowError {
    /// The refusal in words.
    pub fn reason(&self) -> String {
        match self {
            Self::Denied(cure) => format!("denied: {cure}"),
            Self::InvalidName(reason) => reason.clone(),
            Self::Rejected(Rejection { code, message }) => format!("{code}: {message}"),
            Self::Conflict(Some(version)) => format!("the shadow has version {version} by now"),
            Self::Conflict(None) => "there is no such shadow".into(),
            Self::NoRoom(queue) => format!("no room in {queue}"),
            Self::Quota(what) => format!("more than one handling may ask for: {what}"),
            Self::Unavailable(reason) => format!("it cannot be read: {reason}"),
        }
    }
}

/// A full queue empties and a store is repaired, so the delivery is tried again; what else was refused would be refused
/// again.
impl From<ShadowError> for Failure {
    fn from(error: ShadowError) -> Self {
        let reason = format!("shadow refused: {}", error.reason());
        match error {
            ShadowError::NoRoom(_) | ShadowError::Unavailable(_) => Self::Retry(reason),
            _ => Self::Reject(reason),
        }
    }
}
