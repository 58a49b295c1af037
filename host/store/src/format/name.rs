//! What a row is, in words for an operator.

use edgewit_domain::queue::{QueueId, QueueNumber};

use super::{key, record};
use crate::engine::Engine;
use crate::header::HEADER_KEY;

/// A key in words, and the queue that it belongs to, if it does and that much can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub text: String,
    pub queue: Option<QueueId>,
}

pub fn name(engine: &dyn Engine, key: &[u8]) -> Named {
    let Some(number) = key::queue_of(key) else {
        let text = of_no_queue(key).unwrap_or_else(|| format!("the key \"{}\"", key.escape_ascii()));
        return Named { text, queue: None };
    };
    let queue = engine.get(&key::queue(number)).ok().flatten().and_then(|row| record::read_queue(&row));
    let queue = queue.map(|record| record.id);
    let of = queue.as_ref().map_or_else(|| format!("queue number {}", number.0), |id| format!("queue {id}"));
    Named { text: format!("{of}, {}", in_queue(number, key)), queue }
}

fn in_queue(queue: QueueNumber, key: &[u8]) -> String {
    let row = |kind| key::sequence(kind, queue, key);
    if let Some(sequence) = row(key::ROWS) {
        return format!("row {sequence}");
    }
    if let Some(sequence) = row(key::ATTEMPTS) {
        return format!("the attempts of row {sequence}");
    }
    match key.split_first() {
        Some((&key::QUEUES, _)) => "what is counted of it".to_owned(),
        Some((&key::TOPICS, rest)) => format!("the topic {}", text(rest.get(4..).unwrap_or_default())),
        _ => format!("the key \"{}\"", key.escape_ascii()),
    }
}

fn of_no_queue(key: &[u8]) -> Option<String> {
    let (kind, rest) = key.split_first()?;
    let pair = || {
        let at = rest.iter().position(|byte| *byte == 0)?;
        Some((text(rest.get(..at)?), text(rest.get(at + 1..)?)))
    };
    Some(match *kind {
        _ if key == HEADER_KEY => "the header".to_owned(),
        _ if key == key::UPTIME => "the uptime".to_owned(),
        key::RETAINED => format!("the retained message of {}", text(rest)),
        key::BUCKETS => format!("what is counted of bucket {}", text(rest)),
        key::VALUES => pair().map(|(bucket, key)| format!("the value of {key} in bucket {bucket}"))?,
        key::TIMERS => pair().map(|(component, name)| format!("the timer {name} of component {component}"))?,
        key::SHADOWS => format!("shadow {}", key::shadow_of(key)?),
        key::SYNC_ROWS => {
            let (cloud, id) = key::synced(key)?;
            format!("the synchronisation of shadow {id} with cloud {cloud}")
        }
        key::DIGESTS => format!("the digest of compiled code {}", text(rest)),
        _ => return None,
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
