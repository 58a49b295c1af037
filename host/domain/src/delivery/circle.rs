//! Circles of full queues, in which every delivery waits for room that only the next could make.
//!
//! Each reader judges for its own queue, from what all of them have told: of a circle exactly one finds that it is the
//! one to give something up.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::delivery::Parked;
use crate::limits::CIRCLE_WAIT;
use crate::queue::QueueNumber;

/// The circle that a queue's delivery has to be given up for, beginning with the queue: all in it have waited long
/// enough, and its message is the oldest. `parked` says what each queue waits for.
pub fn circle_to_break(
    parked: &BTreeMap<QueueNumber, Parked>,
    queue: QueueNumber,
    now: Duration,
) -> Option<Vec<QueueNumber>> {
    let way = circle(parked, queue)?;
    let all = || way.iter().filter_map(|queue| Some((parked.get(queue)?, *queue)));
    let is_old = all().all(|(parked, _)| now.saturating_sub(parked.since) >= CIRCLE_WAIT);
    let oldest = all().min_by_key(|(parked, queue)| (parked.message_since, *queue))?;
    (is_old && oldest.1 == queue).then_some(way)
}

fn circle(parked: &BTreeMap<QueueNumber, Parked>, from: QueueNumber) -> Option<Vec<QueueNumber>> {
    let mut way = vec![from];
    let mut at = from;
    // Whoever leads into a circle without being part of it never comes back to itself.
    while way.len() <= parked.len() {
        at = parked.get(&at)?.target;
        if at == from {
            return Some(way);
        }
        way.push(at);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Queue, what it waits for, since when, and since when there is its message.
    type Waits = [(u32, u32, u64, u64)];

    const NOW: Duration = Duration::from_secs(1000);

    fn check(waits: &Waits, from: u32, expected: &[u32]) {
        let parked = waits.iter().map(|(queue, target, since, message_since)| {
            let (since, message_since) = (Duration::from_secs(*since), Duration::from_secs(*message_since));
            (QueueNumber(*queue), Parked { target: QueueNumber(*target), since, message_since })
        });
        let found = circle_to_break(&parked.collect(), QueueNumber(from), NOW);
        let way: Vec<_> = found.into_iter().flatten().map(|queue| queue.0).collect();
        assert_eq!(way, expected, "{waits:?} from {from}");
    }

    #[test]
    fn q5_a_circle_is_found_from_the_queue_of_its_oldest_message_and_from_no_other() {
        check(&[], 1, &[]);
        check(&[(1, 1, 0, 0)], 1, &[1]);
        let three = [(1, 2, 0, 5), (2, 3, 0, 4), (3, 1, 0, 6)];
        check(&three, 2, &[2, 3, 1]);
        check(&three, 1, &[]);
        check(&three, 3, &[]);
        check(&[(1, 2, 0, 0), (2, 3, 0, 0)], 1, &[]);
        check(&[(9, 1, 0, 0), (1, 2, 0, 1), (2, 1, 0, 1)], 9, &[]);
        check(&[(9, 1, 0, 0), (1, 2, 0, 1), (2, 1, 0, 1)], 1, &[1, 2]);
    }

    #[test]
    fn q5_a_circle_is_broken_when_all_in_it_have_waited() {
        let wait = CIRCLE_WAIT.as_secs();
        check(&[(1, 2, 0, 0), (2, 1, 1000 - wait + 1, 1)], 1, &[]);
        check(&[(1, 2, 0, 0), (2, 1, 1000 - wait, 1)], 1, &[1, 2]);
    }
}
