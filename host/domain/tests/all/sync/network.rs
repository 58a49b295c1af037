//! What lies between the gateway and the cloud, and the cloud: the engine that both have, a session, and faults.

use std::collections::BTreeMap;
use std::time::Duration;

use edgewit_domain::shadow::{Limits, Rejection, Reply, RequestTopic, ShadowId, Stored, Verb, answer};
use edgewit_domain::topic::Topic;

use crate::simulation::Random;

/// What can go wrong with a message, or in the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Delay,
    Drop,
    Duplicate,
    Reorder,
    Conflict,
    Busy,
    Broken,
    /// The broker forgets the session.
    Forget,
}

impl Fault {
    pub const ALL: [Fault; 8] = [
        Fault::Delay,
        Fault::Drop,
        Fault::Duplicate,
        Fault::Reorder,
        Fault::Conflict,
        Fault::Busy,
        Fault::Broken,
        Fault::Forget,
    ];
}

/// Which of them happen, and how often in a hundred.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub switches: Vec<Fault>,
    pub percent: u64,
    pub happened: u64,
}

impl Faults {
    pub fn strikes(&mut self, fault: Fault, random: &mut Random) -> bool {
        let strikes = self.switches.contains(&fault) && random.chance(self.percent);
        self.happened += u64::from(strikes);
        strikes
    }

    /// When the copies of one message arrive: none, one or two.
    pub fn journeys(&mut self, random: &mut Random) -> Vec<Duration> {
        if self.strikes(Fault::Drop, random) {
            return Vec::new();
        }
        let mut journey = Duration::from_millis(20 + random.below(80));
        if self.strikes(Fault::Delay, random) {
            journey += Duration::from_millis(random.below(60_000));
        }
        if self.strikes(Fault::Reorder, random) {
            journey += Duration::from_millis(random.below(3_000));
        }
        let mut journeys = vec![journey];
        if self.strikes(Fault::Duplicate, random) {
            journeys.push(journey + Duration::from_millis(random.below(30_000)));
        }
        journeys
    }

    fn refuses(&mut self, verb: Verb, random: &mut Random) -> Option<Rejection> {
        if verb == Verb::Update && self.strikes(Fault::Conflict, random) {
            return Some(Rejection::VersionConflict);
        }
        if self.strikes(Fault::Busy, random) {
            return Some(Rejection::TooManyRequests);
        }
        self.strikes(Fault::Broken, random).then_some(Rejection::Internal)
    }
}

/// The far side's shadows.
#[derive(Default)]
pub struct Cloud {
    pub shadows: BTreeMap<ShadowId, Stored>,
}

impl Cloud {
    /// Carries a request out; what it says goes to everyone who listens.
    pub fn take(
        &mut self,
        topic: &Topic,
        payload: &[u8],
        now: u64,
        faults: &mut Faults,
        random: &mut Random,
    ) -> Vec<(Topic, Vec<u8>)> {
        let request = RequestTopic::parse(topic).unwrap().unwrap();
        if let Some(rejection) = faults.refuses(request.verb, random) {
            // Half of what fails inside has been done.
            if rejection == Rejection::Internal && random.chance(50) {
                self.apply(&request, payload, now);
            }
            return vec![(request.reply(Reply::Rejected).unwrap(), refusal(&rejection, payload))];
        }
        self.apply(&request, payload, now)
    }

    pub fn apply(&mut self, request: &RequestTopic, payload: &[u8], now: u64) -> Vec<(Topic, Vec<u8>)> {
        let outcome = answer(request, payload, self.shadows.get(&request.id), now, &Limits::default());
        if let Some(stored) = outcome.stored {
            self.shadows.insert(request.id.clone(), stored);
        }
        let heard = outcome.answers.into_iter().filter(|(reply, _)| matches!(reply, Reply::Accepted | Reply::Rejected));
        heard.map(|(reply, body)| (request.reply(reply).unwrap(), body)).collect()
    }
}

fn refusal(rejection: &Rejection, payload: &[u8]) -> Vec<u8> {
    let request: serde_json::Value = serde_json::from_slice(payload).unwrap();
    let (code, message) = (rejection.code(), rejection.to_string());
    serde_json::json!({"code": code, "message": message, "clientToken": request["clientToken"]})
        .to_string()
        .into_bytes()
}
