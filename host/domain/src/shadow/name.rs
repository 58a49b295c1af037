//! Whose shadow, and which of them: names as the cloud allows them, checked once.
//!
//! They are parts of topics and of keys in the store, so nothing but these characters may ever be in one.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::limits::{SHADOW_NAME_BYTES, THING_NAME_BYTES};

/// The name of a device, or of the gateway itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThingName(Arc<str>);

/// The name of a named shadow.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShadowName(Arc<str>);

/// One shadow of one thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShadowId {
    pub thing: ThingName,
    /// None is the classic one.
    pub name: Option<ShadowName>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    #[error("the name of the thing is empty; write at least one character")]
    ThingEmpty,
    #[error("the name of the thing is {bytes} bytes long; use at most {THING_NAME_BYTES}")]
    ThingTooLong { bytes: usize },
    #[error("the name of the thing has a {character:?} in it; use letters, digits, `:`, `_` and `-`")]
    ThingCharacter { character: char },
    #[error("the name of the shadow is empty; leave the level out for the classic shadow")]
    ShadowEmpty,
    #[error("the name of the shadow is {bytes} bytes long; use at most {SHADOW_NAME_BYTES}")]
    ShadowTooLong { bytes: usize },
    #[error("the name of the shadow has a {character:?} in it; use letters, digits, `$`, `:`, `_` and `-`")]
    ShadowCharacter { character: char },
}

impl ThingName {
    pub fn parse(text: &str) -> Result<ThingName, NameError> {
        match text.len() {
            0 => return Err(NameError::ThingEmpty),
            bytes if bytes > THING_NAME_BYTES => return Err(NameError::ThingTooLong { bytes }),
            _ => {}
        }
        match text.chars().find(|character| !is_common(*character)) {
            Some(character) => Err(NameError::ThingCharacter { character }),
            None => Ok(ThingName(text.into())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ShadowName {
    pub fn parse(text: &str) -> Result<ShadowName, NameError> {
        match text.len() {
            0 => return Err(NameError::ShadowEmpty),
            bytes if bytes > SHADOW_NAME_BYTES => return Err(NameError::ShadowTooLong { bytes }),
            _ => {}
        }
        match text.chars().find(|character| !is_common(*character) && *character != '$') {
            Some(character) => Err(NameError::ShadowCharacter { character }),
            None => Ok(ShadowName(text.into())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_common(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, ':' | '_' | '-')
}

impl ShadowId {
    pub fn classic(thing: ThingName) -> Self {
        ShadowId { thing, name: None }
    }

    pub fn named(thing: ThingName, name: ShadowName) -> Self {
        ShadowId { thing, name: Some(name) }
    }
}

/// As the cloud names a shadow where it says that there is none.
impl fmt::Display for ShadowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.thing.as_str())?;
        self.name.iter().try_for_each(|name| write!(f, "~{name}"))
    }
}

impl fmt::Display for ThingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ThingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThingName({:?})", &*self.0)
    }
}

impl fmt::Display for ShadowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ShadowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShadowName({:?})", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thing(text: &str) -> Option<String> {
        ThingName::parse(text).err().map(|error| error.to_string())
    }

    fn shadow(text: &str) -> Option<String> {
        ShadowName::parse(text).err().map(|error| error.to_string())
    }

    /// The cloud's characters and lengths: the limit itself is allowed, one more is not.
    #[test]
    fn names_are_as_the_cloud_allows_them() {
        for name in ["a", "gw-cellar_7", "A:b", "0", &"x".repeat(64)] {
            assert_eq!((thing(name), shadow(name)), (None, None), "{name}");
        }
        assert_eq!(thing(&"x".repeat(128)), None);
        assert_eq!(shadow("$iot-x"), None);
        let mut told = Vec::new();
        for name in ["", &"x".repeat(129), "a/b", "ä", "$a", "a b", "a+", "a\0", "a.b"] {
            told.push(thing(name).unwrap());
        }
        for name in ["", &"x".repeat(65), "a/b", "€", "#", "a~b"] {
            told.push(shadow(name).unwrap());
        }
        expect_test::expect![[r#"
            the name of the thing is empty; write at least one character
            the name of the thing is 129 bytes long; use at most 128
            the name of the thing has a '/' in it; use letters, digits, `:`, `_` and `-`
            the name of the thing has a 'ä' in it; use letters, digits, `:`, `_` and `-`
            the name of the thing has a '$' in it; use letters, digits, `:`, `_` and `-`
            the name of the thing has a ' ' in it; use letters, digits, `:`, `_` and `-`
            the name of the thing has a '+' in it; use letters, digits, `:`, `_` and `-`
            the name of the thing has a '\0' in it; use letters, digits, `:`, `_` and `-`
            the name of the thing has a '.' in it; use letters, digits, `:`, `_` and `-`
            the name of the shadow is empty; leave the level out for the classic shadow
            the name of the shadow is 65 bytes long; use at most 64
            the name of the shadow has a '/' in it; use letters, digits, `$`, `:`, `_` and `-`
            the name of the shadow has a '€' in it; use letters, digits, `$`, `:`, `_` and `-`
            the name of the shadow has a '#' in it; use letters, digits, `$`, `:`, `_` and `-`
            the name of the shadow has a '~' in it; use letters, digits, `$`, `:`, `_` and `-`"#]]
        .assert_eq(&told.join("\n"));
    }
}
