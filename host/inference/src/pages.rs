//! Pages that stay with the process from one inference to the next.
//!
//! The allocator gives back what is free beyond twice the largest block that it ever took by itself, and an inference spends
//! a tenth of its time on having its pages taken and given anew. So it is shown a block of the size that will be needed.

use edgewit_domain::limits::{KIB, MIB};

/// What glibc does not learn from any more.
const MOST: u64 = 32 * MIB - 64 * KIB;

/// Lets so many bytes stay.
pub(crate) fn keep(bytes: u64) {
    let bytes = usize::try_from(bytes.min(MOST)).unwrap_or_default();
    let mut block: Vec<u8> = Vec::new();
    // Never touched, it takes addresses and no memory; refused, pages come and go.
    let _ = block.try_reserve_exact(bytes);
    drop(std::hint::black_box(block));
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Pages that this thread had to be given.
    fn given_pages() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit(')').next().unwrap().split_whitespace().nth(7).unwrap().parse().unwrap()
    }

    /// As an inference does: takes some megabytes, none of it in large blocks, and lets them go.
    fn compute() {
        let blocks: Vec<Vec<u8>> = (0..40).map(|_| vec![1; 100 << 10]).collect();
        std::hint::black_box(blocks);
    }

    #[test]
    fn what_an_inference_took_stays_for_the_next_one() {
        let pages_of_the_next = |kept| {
            let next = move || {
                keep(kept);
                compute();
                let before = given_pages();
                compute();
                given_pages() - before
            };
            thread::scope(|scope| scope.spawn(next).join()).unwrap()
        };
        let (without, with) = (pages_of_the_next(0), pages_of_the_next(8 * MIB));
        assert!(without > 500 && with < 50, "{without} pages without, {with} with");
    }
}
