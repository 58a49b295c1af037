//! Simulated temperature sensors, so that a scenario needs nothing from outside.
//!
//! Each tick of its timer is one sample of every room: a slow swing with a little noise, and in the first room a door
//! that opens now and then. The course of events depends on the configuration and the number of ticks alone.

mod model;

use edgewit_sdk::topic::Template;
use edgewit_sdk::{CarryState, Component, ConfigError, Failure, HandleTicks, Message, Start, Tick, component, config};
use serde::Serialize;

use model::Model;

const KEYS: &[&str] = &["rooms", "output", "seed", "base", "swing", "period", "door_every", "door_open", "door_rise"];

/// How long a door may stand open or shut. The warmth of a room is reckoned from as many samples as its door is open.
const SAMPLES_MOST: u64 = 10_000;

/// The component.
pub struct Sensors {
    rooms: Vec<String>,
    output: Template,
    model: Model,
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
        let rooms: String = config::or("rooms", "cellar, pantry".to_string())?;
        let output = config::or("output", "sensors/{room}/{quantity}".to_string())?;
        let model = Model {
            seed: config::or("seed", 1)?,
            base: config::or("base", 4.0)?,
            swing: config::or("swing", 0.5)?,
            period: config::or("period", 20)?,
            door_every: config::or("door_every", 0)?,
            door_open: config::or("door_open", 6)?,
            door_rise: config::or("door_rise", 1.5)?,
        };
        if model.period == 0 {
            return Err(ConfigError::invalid("period", "a swing takes at least one sample"));
        }
        for (key, samples) in [("door_every", model.door_every), ("door_open", model.door_open)] {
            if samples > SAMPLES_MOST {
                return Err(ConfigError::invalid(key, format!("at most {SAMPLES_MOST} samples")));
            }
        }
        Ok(Self {
            rooms: rooms.split(',').map(|room| room.trim().to_string()).collect(),
            output: Template::parse(&output, &["room", "quantity"])
                .map_err(|reason| ConfigError::invalid("output", reason))?,
            model,
            sample: 0,
        })
    }
}

impl Start for Sensors {}

impl HandleTicks for Sensors {
    fn on_tick(&mut self, tick: Tick) -> Result<(), Failure> {
        // Missed ticks took their time, too.
        let sample = self.sample + u64::from(tick.missed);
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
