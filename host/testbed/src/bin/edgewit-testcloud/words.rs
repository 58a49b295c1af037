//! What the person says who plays the cloud, a word a line, and what is said to it.

use edgewit_domain::config::values::{parse_duration, show_duration};
use edgewit_domain::shadow::{Outcome, Reply, ShadowId, ShadowName, Stored, ThingName, Verb};
use edgewit_testbed::{Faults, ShadowCloud};

const KNOWN: &str = "the words are desire THING[/SHADOW] JSON, get THING[/SHADOW], delete THING[/SHADOW], ls, \
                     fault FAULT, forget and quit; --help says more";

/// None: it is over.
pub fn obey(cloud: &ShadowCloud, line: &str) -> Option<String> {
    let (word, rest) = split(line);
    let answer = match word {
        "quit" => return None,
        "" => Ok(String::new()),
        "desire" => desire(cloud, rest),
        "get" => shadow(rest).map(|id| shown(&id, &cloud.carry_out(&id, Verb::Get, b""))),
        "delete" => shadow(rest).map(|id| shown(&id, &cloud.carry_out(&id, Verb::Delete, b""))),
        "ls" => Ok(list(cloud)),
        "fault" => fault(cloud.faults(), rest).map(|faults| {
            cloud.set(faults);
            format!("faults: {}", described(faults))
        }),
        "forget" => {
            cloud.forget();
            Ok("every shadow is forgotten".into())
        }
        _ => Err(format!("there is no word {word:?}; {KNOWN}")),
    };
    Some(answer.unwrap_or_else(|wrong| wrong))
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace).map_or((text, ""), |(first, rest)| (first, rest.trim()))
}

fn desire(cloud: &ShadowCloud, rest: &str) -> Result<String, String> {
    let (name, wish) = split(rest);
    let id = shadow(name)?;
    let wrong = |error| format!("{wish:?} is no JSON ({error}); say it like desire gw-7 {{\"setpoint\": 4}}");
    let wish: serde_json::Value = serde_json::from_str(wish).map_err(wrong)?;
    let update = serde_json::json!({"state": {"desired": wish}}).to_string();
    Ok(shown(&id, &cloud.carry_out(&id, Verb::Update, update.as_bytes())))
}

fn shadow(text: &str) -> Result<ShadowId, String> {
    let (thing, name) = text.split_once('/').map_or((text, None), |(thing, name)| (thing, Some(name)));
    let wrong = |error| format!("{text:?} is no shadow: {error}; say THING, or THING/SHADOW");
    let thing = ThingName::parse(thing).map_err(wrong)?;
    Ok(ShadowId { thing, name: name.map(ShadowName::parse).transpose().map_err(wrong)? })
}

/// What whoever asked is told.
fn shown(id: &ShadowId, outcome: &Outcome) -> String {
    let answer = outcome.answers.iter().find(|(reply, _)| matches!(reply, Reply::Accepted | Reply::Rejected));
    let (reply, body) = answer.map_or(("", Vec::new()), |(reply, body)| (reply.word(), body.clone()));
    format!("{} {reply} {}", spelt(id), String::from_utf8_lossy(&body))
}

/// As it is said here.
fn spelt(id: &ShadowId) -> String {
    id.name.as_ref().map_or_else(|| id.thing.to_string(), |name| format!("{}/{name}", id.thing))
}

fn list(cloud: &ShadowCloud) -> String {
    let line = |(id, stored): &(ShadowId, Stored)| match stored {
        Stored::Live(document) => format!("{} version {}", spelt(id), document.version()),
        Stored::Deleted(tombstone) => format!("{} deleted at version {}", spelt(id), tombstone.version()),
    };
    let lines: Vec<String> = cloud.shadows().iter().map(line).collect();
    if lines.is_empty() { "no shadow is there".into() } else { lines.join("\n") }
}

fn fault(mut faults: Faults, rest: &str) -> Result<Faults, String> {
    match split(rest) {
        ("none", "") => return Ok(Faults::default()),
        ("delay", time) => faults.delay = Some(parse_duration(time).map_err(|wrong| wrong.to_string())?),
        ("drop", "") => faults.drop = true,
        ("duplicate", "") => faults.duplicate = true,
        ("reorder", "") => faults.reorder = true,
        ("reject", given) => faults.reject = Some(code(given)?),
        ("forget", "") => faults.forget = true,
        _ => return Err("a fault is delay TIME, drop, duplicate, reorder, reject CODE, forget or none".into()),
    }
    Ok(faults)
}

fn described(faults: Faults) -> String {
    let Faults { delay, drop, duplicate, reorder, reject, forget } = faults;
    let flags = [(drop, "drop"), (duplicate, "duplicate"), (reorder, "reorder"), (forget, "forget")];
    let mut words: Vec<String> = flags.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()).collect();
    words.extend(delay.map(|delay| format!("delay {}", show_duration(delay))));
    words.extend(reject.map(|code| format!("reject {code}")));
    if words.is_empty() { "none".into() } else { words.join(", ") }
}

/// What the service may refuse requests with.
pub fn code(text: &str) -> Result<u16, String> {
    let known = [409, 429, 500];
    let found = text.parse().ok().filter(|code| known.contains(code));
    found.ok_or_else(|| "the codes are 409, 429 and 500".into())
}
