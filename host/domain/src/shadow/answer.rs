//! What comes of a request: what is stored from now on, and every answer in the order in which the cloud sends them.
//!
//! An accepted update is told three times: as what differs between wish and report (if anything does), as the documents
//! before and after, and to whoever asked, who hears only what he said himself. All of it belongs into one transaction
//! with the document.

use super::Limits;
use super::delta::delta;
use super::document::{Document, Node, Stored, write_times};
use super::json::{Fields, Times};
use super::name::ShadowId;
use super::rejection::Rejection;
use super::request::{Request, Token, Update};
use super::topic::{Reply, RequestTopic};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// None: what is stored stays as it is.
    pub stored: Option<Stored>,
    pub answers: Vec<(Reply, Vec<u8>)>,
}

/// A request as it arrives, answered.
pub fn answer(topic: &RequestTopic, payload: &[u8], stored: Option<&Stored>, now: u64, limits: &Limits) -> Outcome {
    match Request::parse(topic.verb, payload, limits) {
        Ok(request) => request.step(&topic.id, stored, now, limits),
        Err(refused) => Outcome::rejected(&refused.rejection, refused.token.as_ref()),
    }
}

impl Request {
    /// What is stored once it was answered, without the answers; none where it changes nothing.
    pub fn stored(&self, stored: Option<&Stored>, now: u64, limits: &Limits) -> Result<Option<Stored>, Rejection> {
        Ok(match self {
            Request::Update(update) => Some(Stored::Live(update.apply(stored, now, limits)?)),
            Request::Delete { .. } => {
                stored.and_then(Stored::live).map(|document| Stored::Deleted(document.delete(now)))
            }
            Request::Get { .. } => None,
        })
    }

    /// `now` is the second since 1970.
    pub fn step(&self, id: &ShadowId, stored: Option<&Stored>, now: u64, limits: &Limits) -> Outcome {
        let live = stored.and_then(Stored::live);
        let absent = || Rejection::NoShadow { id: id.clone() };
        match self {
            Request::Update(update) => update.step(stored, now, limits),
            Request::Get { token } => match live {
                Some(document) => Outcome::accepted(None, document.body(now, token.as_ref())),
                None => Outcome::rejected(&absent(), token.as_ref()),
            },
            Request::Delete { token } => match live {
                Some(document) => Outcome::accepted(
                    Some(Stored::Deleted(document.delete(now))),
                    body(16, |fields| write_envelope(fields, Some(document.version), now, token.as_ref())),
                ),
                None => Outcome::rejected(&absent(), token.as_ref()),
            },
        }
    }
}

impl Outcome {
    pub fn rejected(rejection: &Rejection, token: Option<&Token>) -> Outcome {
        Outcome { stored: None, answers: vec![(Reply::Rejected, rejection.body(token))] }
    }

    fn accepted(stored: Option<Stored>, body: Vec<u8>) -> Outcome {
        Outcome { stored, answers: vec![(Reply::Accepted, body)] }
    }
}

impl Update {
    fn step(&self, stored: Option<&Stored>, now: u64, limits: &Limits) -> Outcome {
        let document = match self.apply(stored, now, limits) {
            Ok(document) => document,
            Err(rejection) => return Outcome::rejected(&rejection, self.token.as_ref()),
        };
        let mut answers = Vec::with_capacity(3);
        answers.extend(self.delta(&document, now).map(|body| (Reply::Delta, body)));
        answers.push((Reply::Documents, self.documents(stored.and_then(Stored::live), &document, now)));
        answers.push((Reply::Accepted, self.accepted(&document, now)));
        Outcome { stored: Some(Stored::Live(document)), answers }
    }

    fn accepted(&self, document: &Document, now: u64) -> Vec<u8> {
        body(3 * self.state.len(), |fields| {
            self.state.write(fields.next("state"));
            write_times(&self.state, now, &mut Times::default(), fields.next("metadata"));
            write_envelope(fields, Some(document.version), now, self.token.as_ref());
        })
    }

    fn delta(&self, document: &Document, now: u64) -> Option<Vec<u8>> {
        let delta = delta(&document.desired, &document.reported)?;
        Some(body(0, |fields| {
            delta.write_state(fields.next("state"));
            delta.write_metadata(&mut Times::default(), fields.next("metadata"));
            write_envelope(fields, Some(document.version), now, self.token.as_ref());
        }))
    }

    fn documents(&self, previous: Option<&Document>, current: &Document, now: u64) -> Vec<u8> {
        body(previous.map_or(0, |previous| 2 * previous.told.len()), |fields| {
            let out = fields.next("previous");
            match previous {
                Some(previous) => previous.tell(out),
                None => out.extend_from_slice(b"null"),
            }
            current.tell(fields.next("current"));
            write_envelope(fields, None, now, self.token.as_ref());
        })
    }
}

impl Document {
    /// As it is got: with what differs.
    pub fn body(&self, now: u64, token: Option<&Token>) -> Vec<u8> {
        body(4 * self.size(), |fields| {
            let mut state = Fields::open(fields.next("state"));
            self.write_sections(&mut state, Node::write_state);
            if let Some(delta) = delta(&self.desired, &self.reported) {
                delta.write_state(state.next("delta"));
            }
            state.close();
            self.write_metadata(fields);
            write_envelope(fields, Some(self.version), now, token);
        })
    }

    fn tell(&self, out: &mut Vec<u8>) {
        self.told.write(out, |out| {
            let mut fields = Fields::open(out);
            let mut state = Fields::open(fields.next("state"));
            self.write_sections(&mut state, Node::write_state);
            state.close();
            self.write_metadata(&mut fields);
            fields.number("version", self.version);
            fields.close();
        })
    }

    fn write_metadata(&self, fields: &mut Fields<'_>) {
        let mut metadata = Fields::open(fields.next("metadata"));
        let mut times = Times::default();
        self.write_sections(&mut metadata, |node, out| node.write_metadata(&mut times, out));
        metadata.close();
    }
}

/// An object, with room for about so many bytes beside its envelope.
fn body(bytes: usize, write: impl FnOnce(&mut Fields<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + 256);
    let mut fields = Fields::open(&mut out);
    write(&mut fields);
    fields.close();
    out
}

fn write_envelope(fields: &mut Fields<'_>, version: Option<u64>, now: u64, token: Option<&Token>) {
    if let Some(version) = version {
        fields.number("version", version);
    }
    fields.number("timestamp", now);
    if let Some(token) = token {
        token.write(fields);
    }
}
