//! The cases in `tests/shadow`: a stored document, a request, and what must come of it.
//!
//! A case names the new state, the version, the difference and, where it matters, the times. Everything else that is
//! said (what `accepted` repeats, the metadata of each body, the documents before and after) follows from these by rules
//! so plain that they stand here a second time, over another JSON library.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use edgewit_domain::shadow::{Limits, Outcome, Reply, Stored, answer};
use serde_json::{Map, Value, json};

use super::{BEFORE, NOW, topic};

struct Case<'a> {
    title: String,
    lines: BTreeMap<&'a str, &'a str>,
}

impl<'a> Case<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        self.lines.get(key).copied()
    }

    fn json(&self, key: &str) -> Option<Value> {
        self.get(key).map(json_of)
    }

    fn stored(&self) -> Option<Stored> {
        let record = if let Some(deleted) = self.get("deleted") {
            format!(r#"{{"shadow":1,"version":{deleted},"deleted":{BEFORE}}}"#)
        } else if let Some(record) = self.get("record") {
            record.to_owned()
        } else {
            let (version, state) = self.get("stored")?.split_once(' ').unwrap();
            let Value::Object(mut record) = aged(&json_of(state)) else { panic!("{}: no object", self.title) };
            let head = [("shadow", json!(1)), ("version", json_of(version)), ("updated", json!(BEFORE))];
            record.extend(head.map(|(name, value)| (name.to_owned(), value)));
            Value::Object(record).to_string()
        };
        Some(Stored::decode(record.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", self.title)))
    }

    fn limits(&self) -> Limits {
        let Some((bytes, depth)) = self.get("limits").and_then(|text| text.split_once(' ')) else {
            return Limits::default();
        };
        Limits { bytes: bytes.parse().unwrap(), depth: depth.parse().unwrap() }
    }

    fn now(&self) -> u64 {
        self.get("at").map_or(NOW, |text| text.parse().unwrap())
    }

    fn outcome(&self, stored: Option<&Stored>) -> Outcome {
        let verb = ["update", "get", "delete"].into_iter().find(|verb| self.get(verb).is_some()).unwrap();
        let shadow = self.get("shadow").map(|name| format!("name/{name}/")).unwrap_or_default();
        let topic = topic(&format!("$aws/things/gw-7/shadow/{shadow}{verb}"));
        answer(&topic, self.get(verb).unwrap().as_bytes(), stored, self.now(), &self.limits())
    }

    /// With the token, where one is to be repeated.
    fn with_token(&self, mut body: Value) -> Value {
        if let Some(token) = self.json("token") {
            body["clientToken"] = token;
        }
        body
    }

    fn check(&self) {
        let stored = self.stored();
        let outcome = self.outcome(stored.as_ref());
        if let Some(rejected) = self.get("rejected") {
            let (code, message) = rejected.split_once(' ').unwrap();
            let body = self.with_token(json!({"code": json_of(code), "message": message}));
            self.says(&outcome, &[(Reply::Rejected, body)]);
            assert_eq!(outcome.stored, None, "{}: what is refused changes nothing", self.title);
        } else if let Some(body) = self.get("body") {
            assert_eq!(texts(&outcome), [(Reply::Accepted, body.to_owned())], "{}", self.title);
            let deleted = matches!(outcome.stored, Some(Stored::Deleted(_)));
            assert_eq!(deleted, self.get("delete").is_some(), "{}", self.title);
        } else {
            self.check_update(stored.as_ref(), &outcome);
        }
    }

    fn check_update(&self, stored: Option<&Stored>, outcome: &Outcome) {
        let now = self.now();
        let request = self.json("update").unwrap();
        let (state, version) = (self.json("state").unwrap(), self.json("version").unwrap());
        let previous = stored.and_then(Stored::live).map_or(Value::Null, |document| {
            let mut body = json_of(std::str::from_utf8(&document.body(0, None)).unwrap());
            body["state"].as_object_mut().unwrap().remove("delta");
            body.as_object_mut().unwrap().remove("timestamp");
            body
        });
        let metadata = match self.json("times") {
            Some(times) => expanded(&times),
            None => times(&state, &request["state"], &previous["metadata"], now),
        };
        let current = json!({"state": state, "metadata": metadata, "version": version});
        let mut expected = Vec::new();
        if self.get("delta") != Some("-") {
            let delta = self.json("delta").unwrap();
            let metadata = part(&metadata["desired"], &delta);
            let body = json!({"state": delta, "metadata": metadata, "version": version, "timestamp": now});
            expected.push((Reply::Delta, self.with_token(body)));
        }
        let documents = json!({"previous": previous, "current": current, "timestamp": now});
        expected.push((Reply::Documents, self.with_token(documents)));
        let echo = json!({
            "state": request["state"], "metadata": now_at_every_leaf(&request["state"], now),
            "version": version, "timestamp": now,
        });
        expected.push((Reply::Accepted, self.with_token(echo)));
        self.says(outcome, &expected);
        self.check_texts(outcome);

        let kept = outcome.stored.as_ref().unwrap();
        assert_eq!(Stored::decode(&kept.encode()).as_ref(), Ok(kept), "{}: what is kept reads back", self.title);
    }

    /// Numbers and escapes to the letter, which a comparison of values overlooks.
    fn check_texts(&self, outcome: &Outcome) {
        let texts = texts(outcome);
        let text = |reply| &texts.iter().find(|(found, _)| *found == reply).unwrap().1;
        let current = format!(r#""current":{{"state":{},"metadata":"#, self.get("state").unwrap());
        assert!(text(Reply::Documents).contains(&current), "{}: {}", self.title, text(Reply::Documents));
        if self.get("delta") != Some("-") {
            let start = format!(r#"{{"state":{},"metadata":"#, self.get("delta").unwrap());
            assert!(text(Reply::Delta).starts_with(&start), "{}: {}", self.title, text(Reply::Delta));
        }
        for (key, reply) in [("accepted", Reply::Accepted), ("documents", Reply::Documents)] {
            if let Some(expected) = self.get(key) {
                assert_eq!(text(reply), expected, "{}", self.title);
            }
        }
    }

    fn says(&self, outcome: &Outcome, expected: &[(Reply, Value)]) {
        let found: Vec<_> = texts(outcome).into_iter().map(|(reply, text)| (reply, json_of(&text))).collect();
        assert_eq!(found, expected, "{}", self.title);
    }
}

fn texts(outcome: &Outcome) -> Vec<(Reply, String)> {
    outcome.answers.iter().map(|(reply, body)| (*reply, String::from_utf8(body.clone()).unwrap())).collect()
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn map(members: &Map<String, Value>, change: impl Fn(&str, &Value) -> Value) -> Value {
    members.iter().map(|(name, value)| (name.clone(), change(name, value))).collect()
}

/// A state as it is stored, every leaf said at the time of the document.
fn aged(state: &Value) -> Value {
    match state {
        Value::Object(members) => map(members, |_, value| aged(value)),
        leaf => json!([0, leaf]),
    }
}

/// The metadata of a new state: now where the request names a leaf, and else as before.
fn times(state: &Value, request: &Value, before: &Value, now: u64) -> Value {
    match state {
        Value::Object(members) => map(members, |name, value| times(value, &request[name], &before[name], now)),
        leaf if request.is_null() => {
            assert!(!before.is_null(), "{leaf} comes from nowhere");
            before.clone()
        }
        leaf => now_at_every_leaf(leaf, now),
    }
}

fn now_at_every_leaf(value: &Value, now: u64) -> Value {
    match value {
        Value::Object(members) => map(members, |_, value| now_at_every_leaf(value, now)),
        Value::Array(items) => items.iter().map(|item| now_at_every_leaf(item, now)).collect(),
        _ => json!({"timestamp": now}),
    }
}

/// `100` is short for `{"timestamp":100}`.
fn expanded(times: &Value) -> Value {
    match times {
        Value::Object(members) => map(members, |_, value| expanded(value)),
        Value::Array(items) => items.iter().map(expanded).collect(),
        time => json!({"timestamp": time}),
    }
}

/// Of the metadata what belongs to a part of the state.
fn part(metadata: &Value, of: &Value) -> Value {
    match of {
        Value::Object(members) => map(members, |name, value| part(&metadata[name], value)),
        _ => metadata.clone(),
    }
}

fn cases<'a>(file: &str, text: &'a str) -> Vec<Case<'a>> {
    let blocks = text.split("\n--- ").skip(1);
    blocks
        .map(|block| {
            let (title, lines) = block.split_once('\n').unwrap();
            let lines = lines.lines().filter(|line| !line.is_empty());
            let lines = lines.map(|line| line.split_once(' ').unwrap_or((line, "")));
            Case { title: format!("{file}: {title}"), lines: lines.collect() }
        })
        .collect()
}

/// Every case in the folder: the new document, `delta`, `documents` and `accepted` in this order, or the error.
#[test]
fn every_case_is_as_the_cloud_has_it() {
    const WORDS: [&str; 19] = [
        "stored",
        "record",
        "deleted",
        "shadow",
        "limits",
        "at",
        "update",
        "get",
        "delete",
        "token",
        "version",
        "state",
        "times",
        "delta",
        "accepted",
        "documents",
        "rejected",
        "body",
        "",
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shadow");
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let cases = cases(file, &text);
        assert!(!cases.is_empty(), "{file} has no case");
        for case in &cases {
            let unknown = case.lines.keys().find(|word| !WORDS.contains(word));
            assert_eq!(unknown, None, "{}", case.title);
            case.check();
        }
        count += cases.len();
    }
    assert!(count >= 120, "only {count} cases found");
}
