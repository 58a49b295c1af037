//! Circles of full queues, in which every delivery waits for room that only the next could make.

use std::collections::BTreeMap;

use crate::queue::QueueNumber;

/// The circle that a queue is part of, beginning with it; `waits` says for room in which queue the head of each waits.
pub fn circle(waits: &BTreeMap<QueueNumber, QueueNumber>, from: QueueNumber) -> Option<Vec<QueueNumber>> {
    let mut way = vec![from];
    let mut at = from;
    // Whoever leads into a circle without being part of it never comes back to itself.
    while way.len() <= waits.len() {
        at = *waits.get(&at)?;
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

    #[test]
    fn a_circle_is_found_from_each_of_its_queues_and_from_no_other() {
        let number = QueueNumber;
        let waits = |pairs: &Pairs| pairs.iter().map(|(from, to)| (number(*from), number(*to))).collect();
        type Pairs = [(u32, u32)];
        let cases: [(&Pairs, u32, &[u32]); 6] = [
            (&[], 1, &[]),
            (&[(1, 1)], 1, &[1]),
            (&[(1, 2), (2, 3), (3, 1)], 2, &[2, 3, 1]),
            (&[(1, 2), (2, 3)], 1, &[]),
            (&[(9, 1), (1, 2), (2, 1)], 9, &[]),
            (&[(9, 1), (1, 2), (2, 1)], 1, &[1, 2]),
        ];
        for (pairs, from, expected) in cases {
            let found = circle(&waits(pairs), number(from));
            let way: Vec<_> = found.into_iter().flatten().map(|queue| queue.0).collect();
            assert_eq!(way, expected, "{pairs:?} from {from}");
        }
    }
}
