//! The seam between what decides when something is computed and what computes.

use std::time::{Duration, Instant};

use edgewit_domain::model::{Description, InferenceError, Named};
use edgewit_domain::tensor::Tensor;

/// How often somebody who waits looks whether it was given up.
pub const LOOK: Duration = Duration::from_millis(50);
/// How long what has answered looks out for what is asked next: to sleep and to be woken takes longer than a small model,
/// and who asks often does so at once.
pub(crate) const LOOK_OUT: Duration = Duration::from_micros(200);

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
    /// nobody reads. Whatever the error, the next run finds the session as good as new, once it has recovered where it has to.
    fn run(
        &mut self,
        inputs: Vec<Tensor>,
        until: Instant,
        given_up: &dyn Fn() -> bool,
    ) -> Result<Named, InferenceError>;

    /// Whether the last run left something that has an end first. Then nobody but `recover` is to be called.
    fn has_to_recover(&self) -> bool {
        false
    }

    /// May take a while.
    fn recover(&mut self) {}

    /// Whether a run would begin at once and be computed by another process, so that any thread may wait for it.
    fn only_waits(&self) -> bool {
        false
    }
}
