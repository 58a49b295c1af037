//! The limit that somebody desires in a shadow, from wherever they are: what is reported there is what counts, and the
//! configuration where nothing is.
//!
//! A limit is reported by the handling that takes it up. So an instance that knows nothing reads the one that its
//! predecessor went by, also where another is desired already and its delta still on its way.

use edgewit_sdk::Failure;
use edgewit_sdk::shadow::ShadowId;
use serde_json::{Map, Value};

use crate::settings::Settings;

pub type Members = Map<String, Value>;

impl Settings {
    /// The limit to go by.
    pub fn limit(&self) -> Result<f64, Failure> {
        let reported = self.shadow.reported::<Members>()?.unwrap_or_default();
        let limit = reported.get(&self.shadow_field).and_then(Value::as_f64);
        Ok(limit.filter(|limit| self.check(*limit).is_ok()).unwrap_or(self.above))
    }

    /// Takes up the limit that is desired, if one is, and reports it.
    pub fn take_up(&self, shadow: &ShadowId, wishes: &Members) -> Result<Option<f64>, Failure> {
        let Some(wish) = wishes.get(&self.shadow_field) else { return Ok(None) };
        let reject = |reason: String| Failure::Reject(format!("`{}` cannot be {wish}: {reason}", self.shadow_field));
        let limit = wish.as_f64().ok_or_else(|| reject("it has to be a number".into()))?;
        self.check(limit).map_err(reject)?;
        shadow.report(&Members::from_iter([(self.shadow_field.clone(), wish.clone())]))?;
        Ok(Some(limit))
    }
}
