//! What happens at the cloud, a line each for whoever watches it.

use std::fmt;

/// Topics and payloads as they were on the wire.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// From now on requests are heard.
    Listens,
    /// Why not; it is looked for on and on.
    NoBroker(&'a str),
    Asked(&'a str, &'a [u8]),
    Answered(&'a str, &'a [u8]),
    /// An answer that nobody gets.
    Lost(&'a str, &'a [u8]),
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, topic, payload) = match self {
            Told::Listens => return f.write_str("listens"),
            Told::NoBroker(why) => return write!(f, "no broker: {why}"),
            Told::Asked(topic, payload) => ("asked   ", topic, payload),
            Told::Answered(topic, payload) => ("answered", topic, payload),
            Told::Lost(topic, payload) => ("lost    ", topic, payload),
        };
        write!(f, "{word}  {topic} ")?;
        // Whatever is sent, it stays one line, and moves no terminal.
        String::from_utf8_lossy(payload).chars().try_for_each(|character| match character.is_control() {
            true => write!(f, "{}", character.escape_default()),
            false => write!(f, "{character}"),
        })
    }
}
