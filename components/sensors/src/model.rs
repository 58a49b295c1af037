//! What the sensor of a room says and the state of its door, as a function of seed, room and sample number: pure, and the
//! same on every machine.

use std::collections::BTreeSet;

/// What the rooms are like.
pub struct Model {
    pub seed: u64,
    /// The middle of the swing, and how far it goes to each side, in degrees.
    pub base: f64,
    pub swing: f64,
    /// How many samples one swing takes.
    pub period: u64,
    /// The door of the first room opens once in so many samples; 0 for never.
    pub door_every: u64,
    /// How many samples it stands open.
    pub door_open: u64,
    /// Degrees that an open door adds with each sample.
    pub door_rise: f64,
    /// Degrees that a drifting sensor adds with each sample.
    pub drift: f64,
    /// How many samples a sensor is exact, and how many it drifts then until it is calibrated; 0 for ever.
    pub drift_after: u64,
    pub drift_for: u64,
    /// The rooms whose sensors drift.
    pub drift_rooms: BTreeSet<u64>,
}

/// What a closed door leaves, with each sample, of what an open one added.
const COOLING: f64 = 0.7;

/// After so many samples nothing is left of an open door that anyone could measure.
const COOLED_AFTER: u64 = 64;

impl Model {
    /// Degrees, rounded to what such a sensor shows.
    pub fn temperature(&self, room: u64, sample: u64) -> f64 {
        let phase = (sample % self.period) as f64 / self.period as f64 + room as f64 * 0.25;
        let swing = self.swing * (phase * std::f64::consts::TAU).sin();
        let noise = (fraction(self.seed ^ mix(room), sample) - 0.5) * 0.2;
        let degrees = self.base + swing + noise + self.warmth(room, sample) + self.drifted(room, sample);
        (degrees * 100.0).round() / 100.0
    }

    /// Whether the room's door stands open. It first opens when half of `door_every` has passed.
    pub fn is_open(&self, room: u64, sample: u64) -> bool {
        if room != 0 || self.door_every == 0 {
            return false;
        }
        let since = (sample + self.door_every - self.door_every / 2) % self.door_every;
        sample >= self.door_every / 2 && since < self.door_open
    }

    /// What open doors have added and cooling has left.
    fn warmth(&self, room: u64, sample: u64) -> f64 {
        let mut warmth = 0.0;
        for past in sample.saturating_sub(self.door_open + COOLED_AFTER)..=sample {
            warmth = if self.is_open(room, past) { warmth + self.door_rise } else { warmth * COOLING };
        }
        warmth
    }

    /// What a sensor shows too much.
    fn drifted(&self, room: u64, sample: u64) -> f64 {
        if !self.drift_rooms.contains(&room) {
            return 0.0;
        }
        let calibrated_every = if self.drift_for == 0 { u64::MAX } else { self.drift_after + self.drift_for };
        (sample % calibrated_every).saturating_sub(self.drift_after) as f64 * self.drift
    }
}

/// A number in [0, 1) that looks like chance.
fn fraction(seed: u64, sample: u64) -> f64 {
    (mix(seed ^ mix(sample)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The finaliser of SplitMix64.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        Model {
            seed: 7,
            base: 4.0,
            swing: 0.5,
            period: 20,
            door_every: 24,
            door_open: 6,
            door_rise: 1.5,
            drift: 0.0,
            drift_after: 0,
            drift_for: 0,
            drift_rooms: BTreeSet::new(),
        }
    }

    /// With a sensor in the second room that drifts by half a degree a sample, after three.
    fn drifting(drift_for: u64) -> Model {
        Model { drift: 0.5, drift_after: 3, drift_for, drift_rooms: [1].into(), ..model() }
    }

    fn differences(one: &Model, other: &Model, room: u64) -> Vec<f64> {
        let difference = |sample| one.temperature(room, sample) - other.temperature(room, sample);
        (0..10).map(|sample| (difference(sample) * 100.0).round() / 100.0).collect()
    }

    #[test]
    fn a_seed_is_a_course_of_events() {
        let course = |model: &Model| (0..50).map(|sample| model.temperature(0, sample)).collect::<Vec<_>>();
        assert_eq!(course(&model()), course(&model()));
        assert_ne!(course(&model()), course(&Model { seed: 8, ..model() }));
        assert_eq!(course(&model())[..3], [3.98, 4.13, 4.3]);
    }

    #[test]
    fn the_door_opens_at_half_of_its_time_and_then_regularly() {
        let open: Vec<u64> = (0..48).filter(|sample| model().is_open(0, *sample)).collect();
        assert_eq!(open, [12, 13, 14, 15, 16, 17, 36, 37, 38, 39, 40, 41]);
        assert!((0..48).all(|sample| !model().is_open(1, sample)));
        assert!((0..48).all(|sample| !Model { door_every: 0, ..model() }.is_open(0, sample)));
    }

    #[test]
    fn an_open_door_warms_its_room_alone_and_for_a_while() {
        let closed = 4.0 - 0.5 - 0.1..=4.0 + 0.5 + 0.1;
        assert!((0..12).all(|sample| closed.contains(&model().temperature(0, sample))));
        assert!(model().temperature(0, 17) > 11.0);
        assert!(closed.contains(&model().temperature(0, 35)));
        assert!((0..48).all(|sample| closed.contains(&model().temperature(1, sample))));
    }
    #[test]
    fn a_sensor_drifts_until_it_is_calibrated_and_then_again() {
        let (for_ever, calibrated) = (drifting(0), drifting(2));
        assert_eq!(differences(&for_ever, &model(), 1), [0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]);
        assert_eq!(differences(&calibrated, &model(), 1), [0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.5]);
        assert_eq!(differences(&for_ever, &model(), 0), [0.0; 10]);
    }
}
