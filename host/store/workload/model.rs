//! What a workload writes, from its seed alone, so that whoever looks at what is left knows what there has to be.

use edgewit_store::Batch;

/// Every batch writes its number here.
pub const MARK: &[u8] = b"mark";

const KEYS: u64 = 48;

/// The numbers that a seed gives, always the same.
pub struct Seeded(pub u64);

impl Seeded {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

/// The batch with this number, from 1.
pub fn batch(seed: u64, number: u64) -> Batch {
    let mut seeded = Seeded(seed ^ number.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let mut batch = Batch::new();
    for _ in 0..2 + seeded.below(10) {
        let key = format!("key {:03}", seeded.below(KEYS));
        match seeded.below(8) {
            0 | 1 => batch.delete(key.as_bytes()),
            2 => batch.put(key.as_bytes(), &filling(number, 9000, &mut seeded)),
            3 => batch.put(key.as_bytes(), &filling(number, 5000, &mut seeded)),
            _ => batch.put(key.as_bytes(), &filling(number, 600, &mut seeded)),
        }
    }
    batch.put(MARK, &number.to_le_bytes());
    batch
}

fn filling(number: u64, below: u64, seeded: &mut Seeded) -> Vec<u8> {
    let length = seeded.below(below);
    (0..length).map(|at| (number.wrapping_mul(31) ^ at ^ (at >> 8)) as u8).collect()
}
