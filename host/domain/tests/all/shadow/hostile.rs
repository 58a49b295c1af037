//! What no well-meaning device sends, and bytes that no store has written.
//!
//! The last test makes its own: it takes good requests and records apart at random, for twice as many rounds as
//! `PROPTEST_CASES` asks, each of three hundred inputs. The rounds of `cargo xtask test --long` take it a minute.

use edgewit_domain::shadow::{Limits, Outcome, Rejection, Reply, RequestTopic, Stored, Unknown, Verb, answer};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{BEFORE, NOW, got, said, topic, update};

fn raw(payload: &[u8]) -> Outcome {
    answer(&topic("$aws/things/gw-7/shadow/update"), payload, None, NOW, &Limits::default())
}

fn check(payload: &[u8], code: u16, message: &str) {
    let outcome = raw(payload);
    let start = String::from_utf8_lossy(&payload[..payload.len().min(60)]);
    assert_eq!(said(&outcome, Reply::Rejected), Some(json!({"code": code, "message": message})), "{start}");
    assert_eq!((outcome.stored, outcome.answers.len()), (None, 1), "{start}");
}

const LARGE: &str = "The payload exceeds the maximum size allowed";
const DEEP: &str = "JSON contains too many levels of nesting; maximum is 8";

#[test]
fn a_megabyte_is_refused() {
    let value = "x".repeat(1 << 20);
    check(format!(r#"{{"state":{{"reported":{{"a":"{value}"}}}}}}"#).as_bytes(), 413, LARGE);
    check(&vec![b' '; 1 << 20], 413, LARGE);
    check(&vec![0xff; 1 << 20], 413, LARGE);
    check(format!(r#"{{"state":{{"reported":{{"a":"{}"}}}}}}"#, "x".repeat(9000)).as_bytes(), 413, LARGE);
    check(format!(r#"{{"state":{{"reported":{{"a":{}}}}}}}"#, "1".repeat(9000)).as_bytes(), 413, LARGE);
}

#[test]
fn nesting_without_end_is_refused() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = open.repeat(20_000);
        check(deep.as_bytes(), 400, "Invalid JSON");
        let nested = format!("{deep}1{}", close.repeat(20_000));
        check(format!(r#"{{"state":{{"desired":{{"a":{nested}}}}}}}"#).as_bytes(), 400, DEEP);
        check(format!(r#"{{"state":{{}},"other":{nested}}}"#).as_bytes(), 400, DEEP);
    }
}

#[test]
fn what_is_not_utf8_is_refused() {
    for bytes in
        [&b"{\"state\":{\"reported\":{\"a\":\"\xff\"}}}"[..], b"\xc0\x80", b"\xed\xa0\x80", b"{}\xf4\x90\x80\x80"]
    {
        check(bytes, 415, "Unsupported documented encoding; supported encoding is UTF-8");
    }
    check("\u{feff}{\"state\":{}}".as_bytes(), 400, "Invalid JSON");
    check(b"{\0\"\0s\0", 400, "Invalid JSON");
}

/// Numbers beyond any machine's are kept to the last digit, and compared without computing them.
#[test]
fn huge_numbers_are_kept() {
    let digits = "9".repeat(4000);
    let state = format!(r#"{{"a":{digits},"b":-{digits},"c":1e400,"d":1e-999999999999999999999}}"#);
    let first = update(None, &format!(r#"{{"state":{{"desired":{state}}}}}"#), BEFORE);
    let document = String::from_utf8(first.stored.as_ref().unwrap().live().unwrap().body(NOW, None)).unwrap();
    assert!(document.contains(&format!(r#""desired":{state}"#)), "{document}");

    let report = r#"{"state":{"desired":{"a":null,"b":null},"reported":{"c":10e399,"d":1e-999999999999999999999}}}"#;
    let second = update(first.stored.as_ref(), report, NOW);
    let replies: Vec<_> = second.answers.iter().map(|(reply, _)| *reply).collect();
    assert_eq!(replies, [Reply::Documents, Reply::Accepted], "no difference is left");
}

/// Ten thousand names in falling order, some of them twice, cost a sort and not a search for each.
#[test]
fn many_names_are_sorted_once() {
    let mut names: Vec<String> = (0..10_000).rev().map(|number| format!(r#""{number:04}":null"#)).collect();
    names.extend(names.clone().into_iter().take(500));
    let payload = format!(r#"{{"state":{{"reported":{{{},"0000":1}}}}}}"#, names.join(","));
    let document = got(raw(payload.as_bytes()).stored.as_ref().unwrap());
    assert_eq!(document["state"], json!({"reported": {"0000": 1}}));
}

/// Only what could have been written is read; a format to come is told apart from damage.
#[test]
fn a_record_that_nobody_wrote_is_no_shadow() {
    let damaged = [
        "",
        "{}",
        "null",
        "[1]",
        r#"{"version":1,"updated":1}"#,
        r#"{"shadow":[1],"version":1,"updated":1}"#,
        r#"{"shadow":1,"updated":1}"#,
        r#"{"shadow":1,"version":1}"#,
        r#"{"shadow":1,"version":-1,"updated":1}"#,
        r#"{"shadow":1,"version":"1","updated":1}"#,
        r#"{"shadow":1,"version":1,"updated":1.5}"#,
        r#"{"shadow":1,"version":1,"updated":18446744073709551616}"#,
        r#"{"shadow":1,"version":1,"updated":1,"desired":null}"#,
        r#"{"shadow":1,"version":1,"updated":1,"desired":[0,1]}"#,
        r#"{"shadow":1,"version":1,"updated":1,"desired":{"a":1}}"#,
        r#"{"shadow":1,"version":1,"updated":1,"desired":{"a":null}}"#,
        r#"{"shadow":1,"version":1,"updated":1,"desired":{"a":[0]}}"#,
        r#"{"shadow":1,"version":1,"updated":1,"desired":{"a":[0,1,2]}}"#,
        r#"{"shadow":1,"version":1,"updated":1,"desired":{"a":["0",1]}}"#,
        r#"{"shadow":1,"version":1,"updated":1,"desired":{"a":[0,null]}}"#,
        r#"{"shadow":1,"version":1,"updated":1,"desired":{"a":[0,[1,null]]}}"#,
        r#"{"shadow":1,"version":1,"updated":1,"desired":{"a":[0,{"b":1}]}}"#,
        r#"{"shadow":1,"version":1,"updated":1,"desired":{"a":[2,1]}}"#,
        r#"{"shadow":1,"version":1,"updated":1,"desired":{"a":[-18446744073709551615,1]}}"#,
        r#"{"shadow":1,"version":1,"updated":1"#,
    ];
    for record in damaged {
        assert_eq!(Stored::decode(record.as_bytes()), Err(Unknown::Damaged), "{record}");
    }
    let deep = format!(
        r#"{{"shadow":1,"version":1,"updated":1,"desired":{{"a":[0,{}1{}]}}}}"#,
        "[".repeat(40),
        "]".repeat(40)
    );
    assert_eq!(Stored::decode(deep.as_bytes()), Err(Unknown::Damaged));
    assert_eq!(Stored::decode(b"\xff"), Err(Unknown::Damaged));
    let times = r#"{"shadow":1,"version":1,"updated":18446744073709551615,"desired":{"a":[18446744073709551615,1]}}"#;
    let then = update(Some(&Stored::decode(times.as_bytes()).unwrap()), r#"{"state":{"desired":{"b":1}}}"#, 0);
    let then = then.stored.unwrap();
    assert_eq!(Stored::decode(&then.encode()), Ok(then), "from one end of time to the other");
    let ahead = r#"{"shadow":1,"version":1,"updated":0,"desired":{"a":[-18446744073709551615,1]}}"#;
    assert_eq!(Stored::decode(ahead.as_bytes()).unwrap().encode(), ahead.as_bytes());
    let later = r#"{"shadow":2,"state":{}}"#;
    assert_eq!(Stored::decode(later.as_bytes()), Err(Unknown::Format { format: "2".into() }));
}

/// The bytes on disk, which no later version may read otherwise.
#[test]
fn what_is_on_disk_stays_as_it_is() {
    let first = update(None, r#"{"state":{"desired":{"b":{"x":[1.50,{"k":"ä\""}],"e":{}},"a":true}}}"#, 100);
    let second = update(first.stored.as_ref(), r#"{"state":{"reported":{"t":-1e3},"desired":{"a":false}}}"#, 160);
    let live = second.stored.unwrap();
    let record = r#"{"shadow":1,"version":2,"updated":160,"desired":{"a":[0,false],"b":{"e":{},"x":[60,[1.50,{"k":"ä\""}]]}},"reported":{"t":[0,-1e3]}}"#;
    assert_eq!(String::from_utf8(live.encode()).unwrap(), record);
    assert_eq!(Stored::decode(record.as_bytes()), Ok(live.clone()));

    let earlier = update(Some(&live), r#"{"state":{"desired":{"b":null}}}"#, 150).stored.unwrap();
    let record = r#"{"shadow":1,"version":3,"updated":150,"desired":{"a":[-10,false]},"reported":{"t":[-10,-1e3]}}"#;
    assert_eq!(String::from_utf8(earlier.encode()).unwrap(), record, "a clock that was set back");
    assert_eq!(Stored::decode(record.as_bytes()), Ok(earlier));

    let gone = answer(&topic("$aws/things/gw-7/shadow/delete"), b"", Some(&live), 170, &Limits::default());
    let gone = gone.stored.unwrap();
    let record = r#"{"shadow":1,"version":2,"deleted":170}"#;
    assert_eq!(String::from_utf8(gone.encode()).unwrap(), record);
    assert_eq!(Stored::decode(record.as_bytes()), Ok(gone.clone()));
    assert!(!gone.is_over(170 + 48 * 3600) && gone.is_over(171 + 48 * 3600) && !live.is_over(u64::MAX));
}

/// Codes and texts that the local service says without the engine.
#[test]
fn every_error_has_the_clouds_code_and_text() {
    let told = [
        (Rejection::Unauthorized, 401, "Unauthorized"),
        (Rejection::Forbidden, 403, "Forbidden"),
        (Rejection::ThingNotFound, 404, "Thing not found"),
        (Rejection::TooManyRequests, 429, "Too Many Requests"),
        (Rejection::Internal, 500, "Internal service failure"),
    ];
    for (rejection, code, message) in told {
        let body: Value = serde_json::from_slice(&rejection.body(None)).unwrap();
        assert_eq!(body, json!({"code": code, "message": message}));
    }
}

const RECORDS: [&str; 3] = [
    r#"{"shadow":1,"version":1,"updated":160,"desired":{"a":[0,false],"b":{"e":{},"x":[60,[1.50,"ä\""]]}}}"#,
    r#"{"shadow":1,"version":1,"updated":160,"desired":{"a":{"b":[9,1]},"d":[0,1]},"reported":{"a":[-7,[{"k":1e3}]]}}"#,
    r#"{"shadow":1,"version":2,"deleted":170}"#,
];

const GOOD: [&str; 4] = [
    r#"{"state":{"desired":{"a":{"b":[1,{"c":"\u00e4"}]},"d":1.5e3},"reported":null},"version":1,"clientToken":"t"}"#,
    r#"{"state":{"reported":{"a":{"b":{"c":{"d":{"e":{"f":{}}}}}},"x":true,"y":null}}}"#,
    r#"{"state":null,"clientToken":"\ud83d\ude00"}"#,
    "{\"clientToken\":\"0123456789012345678901234567890123456789012345678901234567890123\"}",
];

#[derive(Clone, Debug)]
enum Damage {
    Byte(usize, u8),
    Cut(usize),
    Repeat(usize, usize, usize),
    Word(usize, &'static str),
    /// Another value for a member, so that it often remains JSON.
    Value(usize, &'static str),
}

fn damage() -> impl Strategy<Value = Damage> {
    let words = [
        "null",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\u",
        "1e9",
        "-",
        "{\"\":",
        "[[[[[[[[",
        "\u{0}",
        "\"state\":",
    ];
    let values = [
        "null",
        "true",
        "-0",
        "1e400",
        "1.0",
        "18446744073709551616",
        "\"\"",
        "\"\\u0000\\ud83d\\ude00\"",
        "{}",
        "[]",
        "[null]",
        "{\"a\":null}",
        "{\"b\":{\"c\":[1,{}]}}",
        "{\"desired\":{\"\":1,\"\":2}}",
        "[[[[[[[[[]]]]]]]]]",
        "[0,1]",
        "[-1,[\"x\"]]",
        "1",
        "2",
    ];
    prop_oneof![
        1 => (0..200_usize, any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        1 => (0..200_usize).prop_map(Damage::Cut),
        1 => (0..200_usize, 0..40_usize, 0..20_usize).prop_map(|(at, len, times)| Damage::Repeat(at, len, times)),
        1 => (0..200_usize, proptest::sample::select(words.to_vec())).prop_map(|(at, word)| Damage::Word(at, word)),
        8 => (0..20_usize, proptest::sample::select(values.to_vec())).prop_map(|(nth, value)| Damage::Value(nth, value)),
    ]
}

fn damaged(text: &str, damages: &[Damage]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for damage in damages {
        let place = |at: usize| at % (bytes.len() + 1);
        match *damage {
            Damage::Byte(at, byte) => {
                let at = place(at);
                bytes.splice(at..bytes.len().min(at + 1), [byte]);
            }
            Damage::Cut(at) => bytes.truncate(place(at)),
            Damage::Repeat(at, len, times) => {
                let at = place(at);
                let piece = bytes[at..bytes.len().min(at + len)].repeat(times);
                bytes.splice(at..at, piece);
            }
            Damage::Word(at, word) => {
                let at = place(at);
                bytes.splice(at..at, word.bytes());
            }
            Damage::Value(nth, value) => {
                let Some((colon, _)) = bytes.iter().enumerate().filter(|(_, byte)| **byte == b':').nth(nth) else {
                    continue;
                };
                let len = bytes[colon + 1..].iter().position(|byte| matches!(byte, b',' | b'}' | b']'));
                let end = len.map_or(bytes.len(), |len| colon + 1 + len);
                bytes.splice(colon + 1..end, value.bytes());
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases * 2, ..ProptestConfig::default() })]

    /// Whatever comes is answered with JSON, kept as what reads back, and never larger than allowed; and what is at hand
    /// of it says the same next as what was read anew.
    #[test]
    fn whatever_comes_is_answered(inputs in vec((0..GOOD.len(), vec(damage(), 0..4), vec(damage(), 0..3)), 300)) {
        for (good, damages, of_record) in inputs {
            let payload = damaged(GOOD[good], &damages);
            let stored = Stored::decode(&damaged(RECORDS[good % RECORDS.len()], &of_record)).ok();
            for verb in Verb::ALL {
                let topic = topic(&format!("$aws/things/gw-7/shadow/{}", verb.word()));
                let outcome = answer(&topic, &payload, stored.as_ref(), NOW, &Limits::default());
                prop_assert!(!outcome.answers.is_empty());
                for (reply, body) in &outcome.answers {
                    let text = std::str::from_utf8(body);
                    prop_assert!(text.is_ok(), "{:?}", reply);
                    let read = serde_json::from_slice::<Value>(body);
                    let huge = read.as_ref().is_err_and(|error| error.to_string().starts_with("number out of range"));
                    prop_assert!(huge || read.is_ok(), "{:?} {:?}", read, text);
                }
                if let Some(kept) = outcome.stored {
                    prop_assert!(kept.live().is_none_or(|document| document.size() <= Limits::default().bytes));
                    let anew = Stored::decode(&kept.encode());
                    prop_assert_eq!(anew.as_ref(), Ok(&kept));
                    let update = RequestTopic { id: topic.id.clone(), verb: Verb::Update };
                    let next = |stored| answer(&update, GOOD[1].as_bytes(), stored, NOW + 1, &Limits::default()).answers;
                    prop_assert_eq!(next(Some(&kept)), next(anew.as_ref().ok()));
                }
            }
        }
    }
}
