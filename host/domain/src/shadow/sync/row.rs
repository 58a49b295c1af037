//! What the store has of a shadow's synchronisation: one line of JSON beside the shadow's own.
//!
//! ```json
//! {"sync":1,"cloud":7,"base":{"reported":{"t":21}},"local":9}
//! {"sync":1,"cloud":7,"base":{},"local":9,"sent":{"local":10,"patch":{"reported":{"t":22}}},"since":86400}
//! {"sync":1,"cloud":7,"deleted":90000}
//! ```
//!
//! `sync` is the number of this format. `cloud` is the version of the cloud's document that was last merged here, and
//! `base` what it says; without `base` the cloud had none. `local` is the version of the local document when it last said
//! what the cloud's says; without it there was none. `sent` is a patch that the cloud was asked to apply to that version,
//! and nobody knows whether it did; with it goes the version of the local document that says the same. `since` is when
//! the local side changed first, and `deleted` until when a deletion that we asked the cloud for may still come about,
//! both in seconds of running time. Bytes are believed as little as those of a shadow.

use std::time::Duration;

use super::state::State;
use crate::shadow::Unknown;
use crate::shadow::document::Stored;
use crate::shadow::encoding::record;
use crate::shadow::json::{Fields, Members, Value, write_members};

const FORMAT: &str = "1";
/// The record, what holds the patch, and the two that hold sections.
const LEVELS_AROUND: usize = 4;

/// Which document was there, if one was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seen {
    #[default]
    Absent,
    Live(u64),
}

impl Seen {
    pub fn of(stored: Option<&Stored>) -> Seen {
        stored.and_then(Stored::live).map_or(Seen::Absent, |document| Seen::Live(document.version))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub cloud: u64,
    pub base: Option<State>,
    pub local: Seen,
    pub sent: Option<Sent>,
    pub since: Option<u64>,
    pub deleted: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub patch: Members<Value>,
    /// The local document that says what the patch leads to.
    pub local: Seen,
}

/// Whether a row says no more than that neither side has the shadow, and nothing is on its way; `now` is running time.
pub fn is_over(row: &[u8], now: Duration) -> bool {
    Row::decode(row).is_ok_and(|row| {
        let gone = row.base.is_none() && row.local == Seen::Absent && row.sent.is_none() && row.since.is_none();
        gone && row.deleted.is_none_or(|until| now.as_secs() >= until)
    })
}

impl Row {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut fields = Fields::open(&mut out);
        fields.next("sync").extend_from_slice(FORMAT.as_bytes());
        fields.number("cloud", self.cloud);
        if let Some(base) = &self.base {
            base.write(fields.next("base"));
        }
        write_seen(&mut fields, self.local);
        if let Some(sent) = &self.sent {
            let mut inner = Fields::open(fields.next("sent"));
            write_seen(&mut inner, sent.local);
            write_members(inner.next("patch"), sent.patch.iter(), Value::write);
            inner.close();
        }
        for (name, time) in [("since", self.since), ("deleted", self.deleted)] {
            if let Some(time) = time {
                fields.number(name, time);
            }
        }
        fields.close();
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Row, Unknown> {
        row(&record(bytes, "sync", FORMAT, LEVELS_AROUND)?).ok_or(Unknown::Damaged)
    }
}

fn write_seen(fields: &mut Fields<'_>, seen: Seen) {
    if let Seen::Live(version) = seen {
        fields.number("local", version);
    }
}

fn row(members: &Members<Value>) -> Option<Row> {
    Some(Row {
        cloud: number(members, "cloud")??,
        base: match members.named("base") {
            None => None,
            Some(Value::Object(base)) => Some(State::read(base)?),
            Some(_) => return None,
        },
        local: seen(members)?,
        sent: match members.named("sent") {
            None => None,
            Some(Value::Object(sent)) => Some(Sent { patch: patch(sent)?, local: seen(sent)? }),
            Some(_) => return None,
        },
        since: number(members, "since")?,
        deleted: number(members, "deleted")?,
    })
}

fn seen(members: &Members<Value>) -> Option<Seen> {
    Some(number(members, "local")?.map_or(Seen::Absent, Seen::Live))
}

/// A member that may be missing, but not be something else.
fn number(members: &Members<Value>, name: &str) -> Option<Option<u64>> {
    match members.named(name) {
        None => Some(None),
        Some(Value::Scalar(number)) => number.text().parse().ok().map(Some),
        Some(_) => None,
    }
}

/// Sections and nothing else, each an object, with nulls where a patch may have them.
fn patch(sent: &Members<Value>) -> Option<Members<Value>> {
    let Value::Object(patch) = sent.named("patch")? else { return None };
    let is_section = |text: &str| matches!(text, r#""desired""# | r#""reported""#);
    let fits = patch.iter().all(|(name, section)| {
        is_section(name.text())
            && matches!(section, Value::Object(members) if members.iter().all(|(_, value)| removes(value)))
    });
    fits.then(|| patch.clone())
}

fn removes(value: &Value) -> bool {
    match value {
        Value::Null | Value::Scalar(_) => true,
        Value::Array(_) => !value.holds_null(),
        Value::Object(members) => members.iter().all(|(_, value)| removes(value)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shadow::json::parse;

    fn object(text: &str) -> Members<Value> {
        let Value::Object(members) = parse(text.as_bytes(), 40).unwrap().value else { panic!("{text}") };
        members
    }

    fn state(text: &str) -> Option<State> {
        Some(State::read(&object(text)).unwrap())
    }

    fn check(row: &Row, expected: &str) {
        assert_eq!(String::from_utf8(row.encode()).unwrap(), expected);
        assert_eq!(Row::decode(expected.as_bytes()).as_ref(), Ok(row));
    }

    /// What older versions have written must be read for ever: these bytes never change, new ones may be added.
    #[test]
    fn a_row_lies_in_the_store_as_it_always_did() {
        check(&Row::default(), r#"{"sync":1,"cloud":0}"#);
        let agreed = Row {
            cloud: 7,
            base: state(r#"{"desired":{"led":"on"},"reported":{"t":{"in":21.50,"l":[1,{}]}}}"#),
            local: Seen::Live(9),
            ..Row::default()
        };
        check(
            &agreed,
            r#"{"sync":1,"cloud":7,"base":{"desired":{"led":"on"},"reported":{"t":{"in":21.50,"l":[1,{}]}}},"local":9}"#,
        );
        let patch = object(r#"{"reported":{"a":null,"t":{"in":22}}}"#);
        let under_way = Row {
            cloud: 7,
            base: Some(State::default()),
            local: Seen::Live(9),
            sent: Some(Sent { patch, local: Seen::Live(10) }),
            since: Some(86_400),
            deleted: Some(90_000),
        };
        check(
            &under_way,
            r#"{"sync":1,"cloud":7,"base":{},"local":9,"sent":{"local":10,"patch":{"reported":{"a":null,"t":{"in":22}}}},"since":86400,"deleted":90000}"#,
        );
    }

    #[test]
    fn a_row_is_over_when_neither_side_has_anything_and_no_deletion_may_still_come() {
        let at = Duration::from_secs(100);
        for (row, over) in [
            (r#"{"sync":1,"cloud":7}"#, true),
            (r#"{"sync":1,"cloud":7,"deleted":100}"#, true),
            (r#"{"sync":1,"cloud":7,"deleted":101}"#, false),
            (r#"{"sync":1,"cloud":7,"base":{}}"#, false),
            (r#"{"sync":1,"cloud":7,"local":3}"#, false),
            (r#"{"sync":1,"cloud":7,"since":3}"#, false),
            (r#"{"sync":1,"cloud":7,"sent":{"patch":{}}}"#, false),
            ("what is this", false),
        ] {
            assert_eq!(is_over(row.as_bytes(), at), over, "{row}");
        }
    }

    #[test]
    fn bytes_that_nothing_has_written_are_no_row() {
        let damaged = [
            "",
            "{}",
            "[]",
            r#"{"cloud":1}"#,
            r#"{"sync":[1],"cloud":1}"#,
            r#"{"sync":1}"#,
            r#"{"sync":1,"cloud":-1}"#,
            r#"{"sync":1,"cloud":"1"}"#,
            r#"{"sync":1,"cloud":1,"base":1}"#,
            r#"{"sync":1,"cloud":1,"base":{"desired":{"a":null}}}"#,
            r#"{"sync":1,"cloud":1,"base":{"desired":[]}}"#,
            r#"{"sync":1,"cloud":1,"local":1.5}"#,
            r#"{"sync":1,"cloud":1,"sent":{}}"#,
            r#"{"sync":1,"cloud":1,"sent":{"patch":{"desired":null}}}"#,
            r#"{"sync":1,"cloud":1,"sent":{"patch":{"other":{}}}}"#,
            r#"{"sync":1,"cloud":1,"sent":{"patch":{"desired":{"a":[null]}}}}"#,
            r#"{"sync":1,"cloud":1,"since":{}}"#,
        ];
        for text in damaged {
            assert_eq!(Row::decode(text.as_bytes()), Err(Unknown::Damaged), "{text}");
        }
        let deep = format!(
            r#"{{"sync":1,"cloud":1,"base":{{"desired":{}{}}}}}"#,
            "{\"a\":".repeat(50),
            "1".to_owned() + &"}".repeat(50)
        );
        assert_eq!(Row::decode(deep.as_bytes()), Err(Unknown::Damaged));
        assert_eq!(Row::decode(br#"{"sync":2}"#), Err(Unknown::Format { format: "2".into() }));
    }

    proptest! {
        #[test]
        fn damage_is_noticed_or_reads_as_what_could_have_been_written(at in 0..140_usize, byte: u8, cut in 0..140_usize) {
            let good = br#"{"sync":1,"cloud":7,"base":{},"local":9,"sent":{"local":10,"patch":{"reported":{"a":null,"t":{"in":22}}}},"since":86400}"#;
            let mut bytes = good.to_vec();
            let place = at % bytes.len();
            bytes[place] = byte;
            bytes.truncate(if cut < 20 { cut * 6 } else { bytes.len() });
            if let Ok(row) = Row::decode(&bytes) {
                prop_assert_eq!(Row::decode(&row.encode()), Ok(row));
            }
        }
    }
}
