//! The seam between what decides when something is computed and what computes.

use std::time::Instant;

use edgewit_domain::model::{Description, InferenceError, Named};
use edgewit_domain::tensor::Tensor;

/// A loaded model, as a backend has it.
pub trait Loaded: Send + Sync {
    fn description(&self) -> &Description;

    /// One more place to compute at; what was learned is shared by all of them.
    fn session(&self) -> Result<Box<dyn Session>, InferenceError>;
}

/// Computes one inference at a time.
pub trait Session: Send {
    /// `inputs` are what the description wants, in its order; the outputs come in its order too. Ends soon after `until`,
    /// or after `given_up` says yes, as far as the backend can be stopped, with an error of the kind `Timeout` whose text
    /// nobody reads. Whatever the error, the next run finds the session as good as new.
    fn run(
        &mut self,
        inputs: Vec<Tensor>,
        until: Instant,
        given_up: &dyn Fn() -> bool,
    ) -> Result<Named, InferenceError>;
}
