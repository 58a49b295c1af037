//! Shadows for an operator: what may be asked of them, and which there are.
//!
//! A request goes the way of every other: a message on its topic, answered by the store's writer in the transaction that
//! keeps it. Here is only who waits for that answer, and how it is told. Below are shadows for others: what a component reads
//! (`stored`), and how they are kept the same as a cloud's (`syncing`, what it is `told` and `requests`, and what is `forgotten`).

mod forgotten;
mod requests;
mod stored;
mod syncing;
mod told;

use edgewit_domain::control::{Reply, ShadowView, SyncedShadow};
use edgewit_domain::limits::ROWS_SHOWN;
use edgewit_domain::message::{Message, Origin, Qos};
use edgewit_domain::shadow::{
    Document, Limits, NameError, Rejection, Reply as Answer, Request, RequestTopic, ShadowId, ShadowName, ThingName,
    Token, Verb,
};
use edgewit_domain::topic::{Filter, Topic, TopicError};
use serde::Deserialize;

use crate::core::{Core, refused};
pub(crate) use forgotten::forget_all_but;
pub(crate) use stored::StoredShadows;
pub(crate) use syncing::Syncing;
pub(crate) use told::Told;

/// Answers to others on the same topics that may come while one is waited for.
const ANSWERS: u64 = 64;

/// What the cloud and we say where a request is refused.
#[derive(Deserialize)]
struct Rejected {
    code: u16,
    message: String,
}

impl Core {
    pub(crate) async fn shadow(&self, shadow: (Option<String>, Option<String>), verb: Verb, document: &[u8]) -> Reply {
        let id = match self.shadow_id(shadow.0.as_deref(), shadow.1.as_deref()) {
            Ok(id) => id,
            Err(error) => return refused(error, "see `edgewit shadow ls`"),
        };
        let token = self.hub.new_id().to_string();
        let payload = match payload(verb, document, &token, &self.config().shadow) {
            Ok(payload) => payload,
            Err(reply) => return reply,
        };
        self.ask(&RequestTopic { id, verb }, payload, &token).await
    }

    fn shadow_id(&self, thing: Option<&str>, name: Option<&str>) -> Result<ShadowId, NameError> {
        let thing = ThingName::parse(thing.unwrap_or(&self.config().gateway.thing))?;
        Ok(ShadowId { thing, name: name.map(ShadowName::parse).transpose()? })
    }

    async fn ask(&self, request: &RequestTopic, payload: Vec<u8>, token: &str) -> Reply {
        let [topic, accepted, rejected] = match topics(request) {
            Ok(topics) => topics,
            Err(error) => return refused(error, "use another name"),
        };
        let filters = [&accepted, &rejected].into_iter().filter_map(|topic| Filter::parse(topic.as_str()).ok());
        let heard = self.hub.listen(filters.collect(), ANSWERS);
        let message = Message { qos: Qos::AtLeastOnce, ..Message::new(topic, payload) };
        let published = self.publish_as(message, Origin::Operator).await;
        if published != Reply::Done {
            return published;
        }
        // It was delivered before its request was acknowledged.
        let own = format!(",\"clientToken\":\"{token}\"}}");
        let answer = heard.take(usize::MAX).into_iter().find_map(|envelope| {
            let text = std::str::from_utf8(&envelope.message.payload).ok()?;
            Some((envelope.message.topic.clone(), format!("{}}}", text.strip_suffix(&own)?)))
        });
        match answer {
            Some((topic, body)) if topic == accepted => Reply::Shadow { body },
            Some((_, body)) => told(&body),
            None => refused("others asked so much of this shadow that the answer was lost", "ask again"),
        }
    }

    pub(crate) async fn shadows(&self, thing: Option<String>, after: Option<ShadowView>) -> Reply {
        let parsed = thing.as_deref().map(ThingName::parse).transpose();
        let after = after.map(|after| self.shadow_id(Some(&after.thing), after.name.as_deref())).transpose();
        let (thing, after) = match (parsed, after) {
            (Ok(thing), Ok(after)) => (thing, after),
            (Err(error), _) | (_, Err(error)) => return refused(error, "see `edgewit shadow ls`"),
        };
        let hub = self.hub.clone();
        let listed = tokio::task::spawn_blocking(move || {
            hub.store().map(|store| store.shadows(thing.as_ref(), after.as_ref(), ROWS_SHOWN))
        });
        match listed.await {
            Ok(Ok(Ok(found))) => Reply::Shadows {
                more: found.len() >= ROWS_SHOWN,
                shadows: found.iter().map(|(id, document)| view(id, document)).collect(),
            },
            Ok(Ok(Err(broken))) => refused(broken, "`edgewit store check` says what is broken"),
            Ok(Err(_)) | Err(_) => refused("the gateway is shutting down", "ask again when it runs"),
        }
    }
}

impl Core {
    pub(crate) fn synced_shadows(&self, thing: Option<String>, after: Option<SyncedShadow>) -> Reply {
        let place = |shadow: &SyncedShadow| (shadow.thing.clone(), shadow.name.clone());
        let behind = after.as_ref().map(place);
        let wanted = |shadow: &SyncedShadow| {
            thing.as_ref().is_none_or(|thing| *thing == shadow.thing)
                && behind.as_ref().is_none_or(|behind| place(shadow) > *behind)
        };
        let mut shadows: Vec<SyncedShadow> = self.clouds.synced_shadows().into_iter().filter(wanted).collect();
        shadows.sort_by_key(place);
        let more = shadows.len() > ROWS_SHOWN;
        shadows.truncate(ROWS_SHOWN);
        Reply::SyncedShadows { shadows, more }
    }
}

/// Where it is asked, and where the answer comes.
fn topics(request: &RequestTopic) -> Result<[Topic; 3], TopicError> {
    Ok([request.topic()?, request.reply(Answer::Accepted)?, request.reply(Answer::Rejected)?])
}

fn payload(verb: Verb, document: &[u8], token: &str, limits: &Limits) -> Result<Vec<u8>, Reply> {
    // Ours is never too long.
    let Some(token) = Token::new(token) else { return Ok(Vec::new()) };
    if verb != Verb::Update {
        return Ok(token.payload());
    }
    match Request::parse(verb, document, limits) {
        Ok(Request::Update(update)) => Ok(update.with_token(token).payload()),
        Ok(_) => Ok(token.payload()),
        Err(error) => Err(told_as(error.rejection.code(), &error.rejection.to_string())),
    }
}

fn told(body: &str) -> Reply {
    match serde_json::from_str::<Rejected>(body) {
        Ok(Rejected { code, message }) => told_as(code, &message),
        Err(_) => refused(body, "see the gateway's log"),
    }
}

fn told_as(code: u16, message: &str) -> Reply {
    let cure = match code {
        400 if message == Rejection::InvalidVersion.to_string() => {
            "leave the version out, or say 1: there is no such shadow yet"
        }
        404 => "`edgewit shadow ls` shows which there are",
        409 => "get it, and update the version that it has now",
        413 => "keep less in it, or raise `shadow.bytes`",
        429 => "delete shadows that nobody needs",
        500 => "`edgewit store check` says what is broken",
        _ => "write `{\"state\": {\"desired\": {…}}}`; a `null` removes, and `shadow.depth` bounds the levels",
    };
    refused(format!("{code}: {message}"), cure)
}

fn view(id: &ShadowId, document: &Document) -> ShadowView {
    ShadowView {
        thing: id.thing.to_string(),
        name: id.name.as_ref().map(ToString::to_string),
        version: document.version(),
        bytes: document.size(),
        updated: document.updated(),
        differs: document.differs(),
    }
}
