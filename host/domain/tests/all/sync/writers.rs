//! Who writes to shadows, here and far away, and what each said last.

use std::collections::BTreeMap;
use std::time::Duration;

use edgewit_domain::shadow::sync::{Input, Seen};
use edgewit_domain::shadow::{Limits, Request, RequestTopic, ShadowId, Verb};
use serde_json::{Value, json};

use super::world::{Event, World};

/// Who writes a leaf, and whether it is in his power alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writer {
    Device,
    Cloud,
}

/// What was said of a shadow and acknowledged, by a clock of order.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Of the leaves that only one side writes: what it said last, and when.
    pub leaves: BTreeMap<(Writer, String), (Option<u64>, Duration)>,
    pub last_write: BTreeMap<Writer, Duration>,
    pub deleted: BTreeMap<Writer, Duration>,
}

impl World {
    fn any_shadow(&mut self) -> (ShadowId, bool) {
        let shadow = &self.shadows[self.random.below(self.shadows.len() as u64) as usize];
        (shadow.id.clone(), shadow.deletes)
    }

    /// A request of a writer, and what it means for what both must come to.
    fn write(&mut self, writer: Writer, id: &ShadowId, deletes: bool) -> (RequestTopic, String) {
        let now = self.now;
        let said = self.said.get_mut(id).unwrap();
        if deletes && self.random.chance(12) {
            said.deleted.insert(writer, now);
            return (RequestTopic { id: id.clone(), verb: Verb::Delete }, "{}".into());
        }
        let (own, section) = match writer {
            Writer::Device => ("r", "reported"),
            Writer::Cloud => ("d", "desired"),
        };
        let mut state = json!({"desired": {}, "reported": {}});
        said.last_write.insert(writer, now);
        for _ in 0..=self.random.below(2) {
            self.values += 1;
            // Often what it was before: a change that is taken back is one, too.
            let value = if self.random.chance(50) { self.random.below(2) } else { self.values };
            let value = self.random.chance(80).then_some(value);
            let name = format!("{own}{}", self.random.below(3));
            state[section]["own"][&name] = json!(value);
            said.leaves.insert((writer, name), (value, now));
        }
        if self.random.chance(40) {
            self.values += 1;
            let section = if self.random.chance(50) { "desired" } else { "reported" };
            state[section]["shared"] = if self.random.chance(80) { json!(self.values) } else { Value::Null };
        }
        (RequestTopic { id: id.clone(), verb: Verb::Update }, json!({ "state": state }).to_string())
    }

    pub fn local_write(&mut self) {
        if self.calm {
            return;
        }
        let (id, deletes) = self.any_shadow();
        let (topic, payload) = self.write(Writer::Device, &id, deletes);
        let stored = self.disk[&id].0.clone();
        let request = Request::parse(topic.verb, payload.as_bytes(), &Limits::default()).unwrap();
        if let Some(stored) = request.step(&id, stored.as_ref(), self.wall, &Limits::default()).stored {
            self.counts.changes += 1;
            let local = Seen::of(Some(&stored));
            self.disk.get_mut(&id).unwrap().0 = Some(stored);
            let pause = Duration::from_millis(self.random.below(20));
            self.at(pause, Event::Tell(Input::Changed { id, local }, self.run));
        }
        self.again(Event::LocalWrite);
    }

    pub fn cloud_write(&mut self) {
        if self.calm {
            return;
        }
        let (id, deletes) = self.any_shadow();
        let (topic, payload) = self.write(Writer::Cloud, &id, deletes);
        let said = self.cloud.apply(&topic, payload.as_bytes(), self.cloud_now());
        self.counts.changes += 1;
        if self.up || self.session {
            self.tell(said);
        }
        self.again(Event::CloudWrite);
    }

    /// Mostly at leisure, sometimes at once.
    fn again(&mut self, event: Event) {
        let most = if self.random.chance(30) { 2_000 } else { 900_000 };
        let after = Duration::from_millis(self.random.below(most));
        self.at(after, event);
    }
}
