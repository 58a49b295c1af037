//! What a payload asks for, once its bytes have been believed.
//!
//! Whoever holds an [`Update`] holds one that the cloud would take: of the right types, not too deep, without a `null`
//! in an array. Whether it fits what is stored is found when it is applied.

use super::Limits;
use super::document::{Document, Node, Stored, Told, next_version};
use super::json::{Fields, Members, Parsed, Scalar, Unreadable, Value, parse};
use super::merge::merge;
use super::rejection::Rejection;
use super::topic::Verb;
use crate::limits::{SHADOW_NAME_TOLD_BYTES, SHADOW_REQUEST_BYTES, SHADOW_TOKEN_BYTES};

/// The levels around a section: the request, and its `state`.
const LEVELS_AROUND: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Get { token: Option<Token> },
    Update(Update),
    Delete { token: Option<Token> },
}

/// A change to a shadow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// `null`, or an object of sections, each `null` or an object.
    pub(super) state: Value,
    pub expected: Expected,
    pub token: Option<Token>,
}

/// What has to be there for an update to be applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    #[default]
    Anything,
    /// A shadow of this version; or none, where it is 1.
    Version(u64),
    /// No shadow. The cloud has no word for this.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Desired,
    Reported,
}

/// What an answer repeats of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(Scalar);

/// A payload that is no request, and the token to say so with, if it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub rejection: Rejection,
    pub token: Option<Token>,
}

impl Request {
    pub fn token(&self) -> Option<&Token> {
        match self {
            Request::Get { token } | Request::Delete { token } => token.as_ref(),
            Request::Update(update) => update.token.as_ref(),
        }
    }

    pub fn parse(verb: Verb, payload: &[u8], limits: &Limits) -> Result<Request, Refused> {
        match verb {
            Verb::Get => token_alone(payload).map(|token| Request::Get { token }).map_err(Refused::from),
            Verb::Update => Update::parse(payload, limits).map(Request::Update),
            // What a deletion says is ignored, but for a token.
            Verb::Delete => Ok(Request::Delete { token: token_alone(payload).unwrap_or_default() }),
        }
    }
}

impl Update {
    fn parse(payload: &[u8], limits: &Limits) -> Result<Update, Refused> {
        let parsed = read(payload, limits.depth + LEVELS_AROUND)?;
        let Value::Object(members) = &parsed.value else { return Err(Rejection::MissingState.into()) };
        let token = Token::of(members)?;
        if parsed.too_deep {
            return Err(Refused { rejection: Rejection::TooDeep { maximum: limits.depth }, token });
        }
        match believed(members) {
            Ok((state, expected)) => Ok(Update { state: state.clone(), expected, token }),
            Err(rejection) => Err(Refused { rejection, token }),
        }
    }

    /// A change of one section: an object to be merged, or `null` to clear it.
    pub fn of(section: Section, patch: &[u8], limits: &Limits) -> Result<Update, Rejection> {
        let Parsed { value, too_deep } = read(patch, limits.depth)?;
        if too_deep {
            return Err(Rejection::TooDeep { maximum: limits.depth });
        }
        let state = Value::Object(Members::new(vec![(Scalar::string(section.word()), value)]));
        check_state(&state)?;
        Ok(Update { state, expected: Expected::Anything, token: None })
    }

    /// A change of the sections that this names: `{"desired": …, "reported": …}`, or `null` for both.
    pub fn of_state(state: &[u8], limits: &Limits) -> Result<Update, Rejection> {
        let Parsed { value: state, too_deep } = read(state, limits.depth + LEVELS_AROUND - 1)?;
        if too_deep {
            return Err(Rejection::TooDeep { maximum: limits.depth });
        }
        check_state(&state)?;
        Ok(Update { state, expected: Expected::Anything, token: None })
    }

    /// Whether anything of the section may be another afterwards. An update that names neither is one of both: it makes
    /// a document, or a version.
    pub fn touches(&self, section: Section) -> bool {
        match &self.state {
            Value::Object(sections) => sections.is_empty() || sections.named(section.word()).is_some(),
            _ => true,
        }
    }

    pub fn expecting(self, expected: Expected) -> Update {
        Update { expected, ..self }
    }

    pub fn with_token(self, token: Token) -> Update {
        Update { token: Some(token), ..self }
    }

    /// As it is published to ask for it.
    pub fn payload(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.state.len() + 128);
        let mut fields = Fields::open(&mut out);
        self.state.write(fields.next("state"));
        if let Expected::Version(version) = self.expected {
            fields.number("version", version);
        }
        if let Some(token) = &self.token {
            token.write(&mut fields);
        }
        fields.close();
        out
    }

    /// The document that comes of it.
    pub fn apply(&self, stored: Option<&Stored>, now: u64, limits: &Limits) -> Result<Document, Rejection> {
        let live = stored.and_then(Stored::live);
        self.expected.check(live)?;
        let document = Document {
            desired: self.merged(Section::Desired, live.map(|document| &document.desired), now),
            reported: self.merged(Section::Reported, live.map(|document| &document.reported), now),
            version: next_version(stored, now),
            updated: now,
            told: Told::default(),
        };
        if document.size() > limits.bytes {
            return Err(Rejection::TooLarge);
        }
        Ok(document)
    }

    fn merged(&self, section: Section, old: Option<&Members<Node>>, now: u64) -> Members<Node> {
        let patch = match &self.state {
            Value::Object(sections) => sections.named(section.word()),
            _ => Some(&Value::Null),
        };
        match (patch, old) {
            (None, old) => old.cloned().unwrap_or_default(),
            (Some(Value::Object(patch)), Some(old)) => merge(old, patch, now),
            (Some(Value::Object(patch)), None) => merge(&Members::default(), patch, now),
            (Some(_), _) => Members::default(),
        }
    }
}

impl Expected {
    fn check(self, live: Option<&Document>) -> Result<(), Rejection> {
        match (self, live.map(Document::version)) {
            (Expected::Anything, _) | (Expected::Version(1) | Expected::Nothing, None) => Ok(()),
            (Expected::Version(_), None) => Err(Rejection::InvalidVersion),
            (Expected::Version(expected), Some(found)) if expected == found => Ok(()),
            (Expected::Version(_) | Expected::Nothing, Some(_)) => Err(Rejection::VersionConflict),
        }
    }
}

impl Section {
    pub fn word(self) -> &'static str {
        match self {
            Section::Desired => "desired",
            Section::Reported => "reported",
        }
    }
}

impl Token {
    /// None where it is longer than the cloud takes.
    pub fn new(text: &str) -> Option<Token> {
        (text.len() <= SHADOW_TOKEN_BYTES).then(|| Token(Scalar::string(text)))
    }

    /// The payload of a request that says nothing else.
    pub fn payload(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut fields = Fields::open(&mut out);
        self.write(&mut fields);
        fields.close();
        out
    }

    /// None where there is none, or `null`.
    fn of(members: &Members<Value>) -> Result<Option<Token>, Rejection> {
        match members.named("clientToken") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Scalar(text)) if text.is_string() && text.string_len() <= SHADOW_TOKEN_BYTES => {
                Ok(Some(Token(text.clone())))
            }
            Some(_) => Err(Rejection::InvalidToken),
        }
    }

    pub(super) fn write(&self, fields: &mut Fields<'_>) {
        fields.next("clientToken").extend_from_slice(self.0.text().as_bytes());
    }
}

fn read(payload: &[u8], depth: usize) -> Result<Parsed, Rejection> {
    if payload.len() > SHADOW_REQUEST_BYTES {
        return Err(Rejection::TooLarge);
    }
    parse(payload, depth).map_err(|unreadable| match unreadable {
        Unreadable::NotUtf8 => Rejection::NotUtf8,
        Unreadable::NotJson => Rejection::InvalidJson,
    })
}

/// Of a payload that needs to be nothing else, not even JSON.
fn token_alone(payload: &[u8]) -> Result<Option<Token>, Rejection> {
    match read(payload, LEVELS_AROUND) {
        Ok(Parsed { value: Value::Object(members), .. }) => Token::of(&members),
        _ => Ok(None),
    }
}

fn believed(members: &Members<Value>) -> Result<(&Value, Expected), Rejection> {
    let state = members.named("state").ok_or(Rejection::MissingState)?;
    check_state(state)?;
    let expected = match members.named("version") {
        None | Some(Value::Null) => Expected::Anything,
        Some(Value::Scalar(number)) => Expected::Version(number.text().parse().map_err(|_| Rejection::InvalidVersion)?),
        Some(_) => return Err(Rejection::InvalidVersion),
    };
    Ok((state, expected))
}

fn check_state(state: &Value) -> Result<(), Rejection> {
    let sections = match state {
        Value::Null => return Ok(()),
        Value::Object(sections) => sections,
        _ => return Err(Rejection::StateNotObject),
    };
    for (name, value) in sections.iter() {
        let wrong = match name.text() {
            r#""desired""# => Rejection::DesiredNotObject,
            r#""reported""# => Rejection::ReportedNotObject,
            _ => return Err(invalid(name)),
        };
        match value {
            Value::Null => {}
            Value::Object(members) => check_members(members)?,
            _ => return Err(wrong),
        }
    }
    Ok(())
}

/// A `null` removes a member, and an array has no members.
fn check_members(members: &Members<Value>) -> Result<(), Rejection> {
    members.iter().try_for_each(|(name, value)| match value {
        Value::Object(members) => check_members(members),
        Value::Array(_) if value.holds_null() => Err(invalid(name)),
        _ => Ok(()),
    })
}

fn invalid(name: &Scalar) -> Rejection {
    let name = name.plain();
    let told = name.get(..name.floor_char_boundary(SHADOW_NAME_TOLD_BYTES)).unwrap_or_default();
    Rejection::InvalidNode { name: told.to_owned() }
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        Refused { rejection, token: None }
    }
}
