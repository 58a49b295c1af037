//! Why a request is refused: the cloud's codes and, to the letter, its texts.
//!
//! Devices compare these texts. So no cure is added to any of them; the guide has the cures.

use thiserror::Error;

use super::json::{Fields, quoted, write_number};
use super::name::ShadowId;
use super::request::Token;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    #[error("Invalid JSON")]
    InvalidJson,
    #[error("Missing required node: state")]
    MissingState,
    #[error("State node must be an object")]
    StateNotObject,
    #[error("Desired node must be an object")]
    DesiredNotObject,
    #[error("Reported node must be an object")]
    ReportedNotObject,
    #[error("Invalid version")]
    InvalidVersion,
    #[error("Invalid clientToken")]
    InvalidToken,
    #[error("JSON contains too many levels of nesting; maximum is {maximum}")]
    TooDeep { maximum: usize },
    /// Beside the two sections, or an array with a `null` in it.
    #[error("State contains an invalid node: '{name}'")]
    InvalidNode { name: String },
    #[error("Unauthorized")]
    Unauthorized,
    #[error("Forbidden")]
    Forbidden,
    #[error("Thing not found")]
    ThingNotFound,
    #[error("No shadow exists with name: '{id}'")]
    NoShadow { id: ShadowId },
    #[error("Version conflict")]
    VersionConflict,
    #[error("The payload exceeds the maximum size allowed")]
    TooLarge,
    #[error("Unsupported documented encoding; supported encoding is UTF-8")]
    NotUtf8,
    #[error("Too Many Requests")]
    TooManyRequests,
    #[error("Internal service failure")]
    Internal,
}

impl Rejection {
    pub fn code(&self) -> u16 {
        match self {
            Rejection::InvalidJson
            | Rejection::MissingState
            | Rejection::StateNotObject
            | Rejection::DesiredNotObject
            | Rejection::ReportedNotObject
            | Rejection::InvalidVersion
            | Rejection::InvalidToken
            | Rejection::TooDeep { .. }
            | Rejection::InvalidNode { .. } => 400,
            Rejection::Unauthorized => 401,
            Rejection::Forbidden => 403,
            Rejection::ThingNotFound | Rejection::NoShadow { .. } => 404,
            Rejection::VersionConflict => 409,
            Rejection::TooLarge => 413,
            Rejection::NotUtf8 => 415,
            Rejection::TooManyRequests => 429,
            Rejection::Internal => 500,
        }
    }

    /// What is published as `rejected`.
    pub fn body(&self, token: Option<&Token>) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        let mut fields = Fields::open(&mut out);
        write_number(fields.next("code"), u64::from(self.code()));
        fields.next("message").extend_from_slice(quoted(&self.to_string()).as_bytes());
        if let Some(token) = token {
            token.write(&mut fields);
        }
        fields.close();
        out
    }
}
