//! Simulated temperature sensors, so that a scenario needs nothing from outside.
//!
//! Each tick of its timer is one sample of every room: a slow swing with a little noise, in the first room a door that
//! opens now and then, and sensors that drift. The course of events depends on the configuration and the number of ticks
//! alone.

mod model;

use std::collections::BTreeSet;

use edgewit_sdk::topic::Template;
use edgewit_sdk::{CarryState, Component, ConfigError, Failure, HandleTicks, Message, Start, Tick, component, config};
use serde::Serialize;

use model::Model;

const KEYS: &[&str] = &[
    "rooms",
    "output",
    "seed",
    "base",
    "swing",
    "period",
    "door_every",
    "door_open",
    "door_rise",
    "drift",
    "drift_after",
    "drift_for",
    "drift_rooms",
    "gapless",
];

/// How long a door may stand open or shut, and a sensor be exact or drift. The warmth of a room is reckoned from as many
/// samples as its door is open.
const SAMPLES_MOST: u64 = 10_000;

/// The component.
pub struct Sensors {
    rooms: Vec<String>,
    output: Template,
    model: Model,
    /// Whether a sample whose tick was missed is taken with the next one.
    gapless: bool,
    sample: u64,
}

#[derive(Serialize)]
struct Temperature {
    value: f64,
    unit: &'static str,
}

#[derive(Serialize)]
struct Door {
    open: bool,
}

impl Component for Sensors {
    fn from_config() -> Result<Self, ConfigError> {
        config::only(KEYS)?;
        let rooms = names(&config::or("rooms", "cellar, pantry".to_string())?);
        let output = config::or("output", "sensors/{room}/{quantity}".to_string())?;
        let model = Model {
            seed: config::or("seed", 1)?,
            base: config::or("base", 4.0)?,
            swing: config::or("swing", 0.5)?,
            period: config::or("period", 20)?,
            door_every: config::or("door_every", 0)?,
            door_open: config::or("door_open", 6)?,
            door_rise: config::or("door_rise", 1.5)?,
            drift: config::or("drift", 0.0)?,
            drift_after: config::or("drift_after", 0)?,
            drift_for: config::or("drift_for", 0)?,
            drift_rooms: drift_rooms(&rooms)?,
        };
        if model.period == 0 {
            return Err(ConfigError::invalid("period", "a swing takes at least one sample"));
        }
        let lengths = [
            ("door_every", model.door_every),
            ("door_open", model.door_open),
            ("drift_after", model.drift_after),
            ("drift_for", model.drift_for),
        ];
        for (key, samples) in lengths {
            if samples > SAMPLES_MOST {
                return Err(ConfigError::invalid(key, format!("at most {SAMPLES_MOST} samples")));
            }
        }
        Ok(Self {
            rooms,
            output: Template::parse(&output, &["room", "quantity"])
                .map_err(|reason| ConfigError::invalid("output", reason))?,
            model,
            gapless: config::or("gapless", false)?,
            sample: 0,
        })
    }
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(|name| name.trim().to_string()).collect()
}

/// The numbers of the rooms whose sensors drift.
fn drift_rooms(rooms: &[String]) -> Result<BTreeSet<u64>, ConfigError> {
    let drifting = config::optional::<String>("drift_rooms")?.map(|list| names(&list));
    let stranger = drifting.iter().flatten().find(|room| !rooms.contains(room));
    if let Some(stranger) = stranger {
        return Err(ConfigError::invalid("drift_rooms", format!("there is no `{stranger}` among the `rooms`")));
    }
    let drifts = |room| drifting.as_ref().is_none_or(|drifting| drifting.contains(room));
    Ok((0..).zip(rooms).filter(|(_, room)| drifts(room)).map(|(number, _)| number).collect())
}

impl Start for Sensors {}

impl HandleTicks for Sensors {
    fn on_tick(&mut self, tick: Tick) -> Result<(), Failure> {
        // Missed ticks took their time, too, unless every sample counts.
        let missed = if self.gapless { 0 } else { tick.missed };
        let sample = self.sample + u64::from(missed);
        for (number, room) in (0..).zip(&self.rooms) {
            let value = self.model.temperature(number, sample);
            self.publish(room, "temperature", &Temperature { value, unit: "celsius" })?;
            let open = self.model.is_open(number, sample);
            let was_open = self.sample > 0 && self.model.is_open(number, self.sample - 1);
            if open != was_open {
                self.publish(room, "door", &Door { open })?;
            }
        }
        self.sample = sample + 1;
        Ok(())
    }
}

impl Sensors {
    fn publish(&self, room: &str, quantity: &str, value: &impl Serialize) -> Result<(), Failure> {
        let topic = self.output.fill("", &[("room", room), ("quantity", quantity)]);
        let topic =
            topic.ok_or_else(|| Failure::Reject(format!("room `{room}` makes no topic of `{}`", self.output)))?;
        Ok(Message::json(topic, value)?.publish()?)
    }
}

impl CarryState for Sensors {
    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.sample.to_le_bytes().to_vec())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        self.sample = u64::from_le_bytes(state.try_into().map_err(|_| "not a state of `sensors`".to_string())?);
        Ok(())
    }
}

component!(Sensors: ticks, init, state);

#[cfg(test)]
mod tests {
    use edgewit_sdk::testing::{Bench, tick};
    use edgewit_sdk::{PublishError, Reason};

    use super::*;

    fn bench(config: &[(&str, &str)]) -> Bench<Sensors> {
        Bench::with_config(config.iter().copied()).unwrap()
    }

    fn topics(bench: &mut Bench<Sensors>) -> Vec<String> {
        bench.tick("sample").unwrap().published.into_iter().map(|message| message.topic).collect()
    }

    #[test]
    fn a_tick_is_one_sample_of_every_room() {
        let mut bench = bench(&[("seed", "7")]);
        bench.init(Reason::First).unwrap();
        assert_eq!(topics(&mut bench), ["sensors/cellar/temperature", "sensors/pantry/temperature"]);
        let effects = bench.tick("sample").unwrap();
        assert_eq!(effects.lines()[0].1, r#"{"value":4.13,"unit":"celsius"}"#);
    }

    #[test]
    fn a_door_is_told_when_it_moves() {
        let mut bench = bench(&[("rooms", "a"), ("door_every", "4"), ("door_open", "1")]);
        let moves: Vec<bool> = (0..8).map(|_| topics(&mut bench).contains(&"sensors/a/door".into())).collect();
        assert_eq!(moves, [false, false, true, true, false, false, true, true]);
    }

    #[test]
    fn time_that_was_missed_has_passed() {
        let (mut slow, mut fast) = (bench(&[]), bench(&[]));
        slow.tick("sample").unwrap();
        let late = slow.deliver_tick(Tick { missed: 2, ..tick("sample") }).unwrap();
        let each: Vec<_> = (0..4).map(|_| fast.tick("sample").unwrap()).collect();
        assert_eq!(late, each[3]);
    }

    #[test]
    fn without_gaps_each_tick_is_the_next_sample() {
        let (mut late, mut fast) = (bench(&[("gapless", "true")]), bench(&[]));
        for missed in [0, 2, 0] {
            assert_eq!(late.deliver_tick(Tick { missed, ..tick("sample") }), fast.tick("sample"));
        }
    }

    #[test]
    fn a_sensor_drifts_in_the_rooms_that_are_named_or_in_all() {
        let keys = [("drift", "1"), ("drift_after", "1"), ("swing", "0")];
        let unlike = |more: &[(&str, &str)]| {
            let (mut drifting, mut exact) = (bench(&[&keys, more].concat()), bench(&keys[2..]));
            let each = (0..3).map(|_| {
                let (drifting, exact) = (drifting.tick("sample").unwrap(), exact.tick("sample").unwrap());
                let pairs = drifting.published.into_iter().zip(exact.published);
                pairs.filter(|(one, other)| one != other).map(|(one, _)| one.topic).collect::<Vec<_>>()
            });
            each.collect::<Vec<_>>()
        };
        let (cellar, pantry) = ("sensors/cellar/temperature", "sensors/pantry/temperature");
        assert_eq!(unlike(&[]), [vec![], vec![], vec![cellar, pantry]]);
        assert_eq!(unlike(&[("drift_rooms", " pantry")]), [vec![], vec![], vec![pantry]]);
    }

    #[test]
    fn a_sample_without_room_is_taken_again() {
        let mut bench = bench(&[]).refusing("#", PublishError::NoRoom("uplink".into()));
        assert!(matches!(bench.tick("sample"), Err(Failure::Retry(_))));
    }

    #[test]
    fn a_planned_renewal_goes_on_where_it_was() {
        let (mut renewed, mut other) = (bench(&[]), bench(&[]));
        for bench in [&mut renewed, &mut other] {
            bench.tick("sample").unwrap();
        }
        renewed.recycle().unwrap();
        assert_eq!(renewed.tick("sample"), other.tick("sample"));
        assert!(renewed.restore(b"short").is_err());
    }

    #[test]
    fn a_broken_configuration_says_how_to_mend_it() {
        let cases = [
            ("period", "0"),
            ("door_open", "10001"),
            ("door_every", "10001"),
            ("drift_after", "10001"),
            ("drift_for", "10001"),
            ("drift_rooms", "pantry, attic"),
            ("gapless", "mostly"),
            ("output", "a/{floor}"),
            ("seed", "x"),
            ("colour", "red"),
        ];
        for (key, value) in cases {
            let Err(error) = Bench::<Sensors>::with_config([(key, value)]) else { panic!("{key}") };
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}
