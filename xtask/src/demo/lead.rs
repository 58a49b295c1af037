//! Who spoke when, in readings of a room, and by how much one was ahead of the other: pure.
//!
//! `anomaly` says with how many readings it said something. `threshold` hears means, each of so many readings as `window`
//! says: those up to the mean that an alert names are what it took.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// What has to come of it.
const LEAST_MEDIAN: i64 = 10;
const MOST_FALSE_ALARMS: usize = 1;

/// Seconds between two samples in the cold rooms.
const PACE: f64 = 0.25;

pub struct Rooms {
    rooms: BTreeMap<String, Room>,
    drifting: BTreeSet<String>,
    /// Readings before the first that has drifted.
    exact: u64,
}

#[derive(Default)]
struct Room {
    /// Each mean, and the readings up to its end.
    means: Vec<(u64, f64)>,
    /// With which readings `anomaly` said that something is unusual.
    events: Vec<u64>,
    /// With how many `threshold` raised its first alert.
    alert: Option<u64>,
}

#[derive(Deserialize)]
struct Mean {
    count: u64,
    mean: f64,
}

#[derive(Deserialize)]
struct Event {
    anomaly: String,
    readings: u64,
}

#[derive(Deserialize)]
struct Alert {
    alert: String,
    value: f64,
}

impl Rooms {
    /// The rooms of a configuration's `sensors`.
    pub fn of(configuration: &str) -> Result<Rooms> {
        let configuration: toml::Table = configuration.parse().context("the scenario")?;
        let sensors =
            ["sensors", "config"].iter().try_fold(configuration.get("component"), |table, name| Some(table?.get(name)));
        let sensors = sensors.flatten().context("[component.sensors.config] is missing")?;
        let names = |key: &str| -> Result<BTreeSet<String>> {
            let list = sensors.get(key).and_then(toml::Value::as_str).with_context(|| format!("`{key}` is missing"))?;
            Ok(list.split(',').map(|name| name.trim().to_owned()).collect())
        };
        let after = sensors.get("drift_after").and_then(toml::Value::as_integer).context("`drift_after` is missing")?;
        let rooms = names("rooms")?.into_iter().map(|name| (name, Room::default())).collect();
        Ok(Rooms { rooms, drifting: names("drift_rooms")?, exact: u64::try_from(after)? + 1 })
    }

    pub fn count(&self) -> u64 {
        self.rooms.len() as u64
    }

    pub fn described(&self) -> String {
        format!("{} rooms, of which {} have a sensor that drifts", self.rooms.len(), self.drifting.len())
    }

    pub fn message(&mut self, topic: &str, payload: &str) -> Result<()> {
        self.hear(topic, payload).with_context(|| format!("{topic} {payload}"))
    }

    fn hear(&mut self, topic: &str, payload: &str) -> Result<()> {
        let (kind, name) = topic.split_once('/').context("no topic of a room")?;
        let room = self.rooms.get_mut(name).context("there is no such room")?;
        match kind {
            "averages" => {
                let Mean { count, mean } = serde_json::from_str(payload)?;
                let before = room.means.last().map_or(0, |(readings, _)| *readings);
                room.means.push((before + count, mean));
            }
            "anomalies" => {
                let Event { anomaly, readings } = serde_json::from_str(payload)?;
                room.events.extend((anomaly == "raised").then_some(readings));
            }
            _ => {
                let Alert { alert, value } = serde_json::from_str(payload)?;
                if alert == "raised" && room.alert.is_none() {
                    let same = |(_, mean): &&(u64, f64)| (mean - value).abs() < 1e-9;
                    let (readings, _) = room.means.iter().rev().find(same).context("nobody said such a mean")?;
                    room.alert = Some(*readings);
                }
            }
        }
        Ok(())
    }

    pub fn has_all_alerts(&self) -> bool {
        self.of_drifting().all(|room| room.alert.is_some())
    }

    pub fn progress(&self, sample: u64, of: u64) -> String {
        let noticed = self.of_drifting().filter(|room| self.noticed(room).is_some()).count();
        let alerts = self.of_drifting().filter(|room| room.alert.is_some()).count();
        format!("sample {:3} of {of}: `anomaly` has seen {noticed} drift, `threshold` {alerts}", sample.min(of))
    }

    pub fn lead(&self) -> Result<Lead> {
        let ahead = |room: &Room| Some(room.alert? as i64 - self.noticed(room)? as i64);
        let mut leads: Vec<Option<i64>> = self.of_drifting().map(ahead).collect();
        leads.sort_unstable();
        let exact = |name: &&String| !self.drifting.contains(*name);
        let mut rooms = self.rooms.iter();
        if let Some((name, _)) = rooms.find(|(name, room)| exact(name) && room.alert.is_some()) {
            bail!("`threshold` raised an alert in `{name}`, where nothing drifts");
        }
        let early = |room: &Room| room.events.iter().any(|readings| *readings <= self.exact);
        let is_false =
            |(name, room): &(&String, &Room)| if exact(name) { !room.events.is_empty() } else { early(room) };
        let false_alarms = self.rooms.iter().filter(is_false).count();
        Ok(Lead { leads, false_alarms, exact_rooms: self.rooms.keys().filter(exact).count() })
    }

    fn of_drifting(&self) -> impl Iterator<Item = &Room> {
        self.drifting.iter().filter_map(|name| self.rooms.get(name))
    }

    /// With how many readings `anomaly` saw the drift. What it said before there was one is something else.
    fn noticed(&self, room: &Room) -> Option<u64> {
        room.events.iter().copied().find(|readings| *readings > self.exact)
    }
}

pub struct Lead {
    /// Of each room that drifts, the least first; none where `anomaly` did not see it.
    leads: Vec<Option<i64>>,
    /// Rooms in which it spoke and nothing drifted, or not yet.
    false_alarms: usize,
    exact_rooms: usize,
}

impl Lead {
    /// What is to be said of it; an error where it is not good enough.
    pub fn sentence(&self) -> Result<String> {
        let seen = self.leads.iter().flatten().count();
        let rooms = self.leads.len();
        // Of two in the middle the lesser.
        let median = self.leads.get(rooms.saturating_sub(1) / 2).copied().flatten();
        let at_least = match self.leads.first().copied().flatten() {
            Some(least) => format!("at least {least}"),
            None => format!("not at all in {}", rooms - seen),
        };
        let false_alarms = match self.false_alarms {
            0 => "no false alarm".to_owned(),
            1 => "1 false alarm".to_owned(),
            several => format!("{several} false alarms"),
        };
        let ahead = match median {
            Some(median) => {
                let seconds = median as f64 * PACE;
                format!(
                    "{median} samples before `threshold` in the median ({seconds:.0} s at the cold rooms' pace), {at_least}"
                )
            }
            None => "not ahead of `threshold` in the median".to_owned(),
        };
        let exact_rooms = self.exact_rooms;
        let sentence = format!(
            "`anomaly` saw {seen} of {rooms} sensors drift, {ahead}; {false_alarms} in {exact_rooms} rooms without drift \
             and before it in the others"
        );
        if median.is_none_or(|median| median < LEAST_MEDIAN) || self.false_alarms > MOST_FALSE_ALARMS {
            bail!(
                "{sentence}. It has to be {LEAST_MEDIAN} samples ahead in the median, with at most {MOST_FALSE_ALARMS} false alarm"
            );
        }
        Ok(sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: &str =
        "[component.sensors.config]\nrooms = \"\"\"\na, b,\nc\"\"\"\ndrift_rooms = \"a,b\"\ndrift_after = 20";

    /// Means of eight readings, above 7 degrees with the last of them.
    fn passes(rooms: &mut Rooms, room: &str, windows: u64) {
        for window in 1..=windows {
            let mean = if window == windows { 7.5 } else { 4.0 };
            rooms.message(&format!("averages/{room}"), &format!(r#"{{"count":8,"mean":{mean}}}"#)).unwrap();
        }
        // Another mean comes before the alert is raised.
        rooms.message(&format!("averages/{room}"), r#"{"count":8,"mean":8}"#).unwrap();
        rooms.message(&format!("alerts/{room}"), r#"{"alert":"raised","value":7.5}"#).unwrap();
    }

    fn notices(rooms: &mut Rooms, room: &str, readings: u64) {
        let event = format!(r#"{{"anomaly":"raised","readings":{readings}}}"#);
        rooms.message(&format!("anomalies/{room}"), &event).unwrap();
        rooms.message(&format!("anomalies/{room}"), &event.replace("raised", "cleared")).unwrap();
    }

    #[test]
    fn a_lead_is_in_readings_whoever_speaks_late() {
        let mut rooms = Rooms::of(SCENARIO).unwrap();
        passes(&mut rooms, "a", 10);
        notices(&mut rooms, "a", 30);
        assert!(!rooms.has_all_alerts());
        notices(&mut rooms, "b", 40);
        passes(&mut rooms, "b", 11);
        assert!(rooms.has_all_alerts());
        assert_eq!(rooms.lead().unwrap().leads, [Some(48), Some(50)]);
        let expected = "`anomaly` saw 2 of 2 sensors drift, 48 samples before `threshold` in the median (12 s at the cold \
                        rooms' pace), at least 48; no false alarm in 1 rooms without drift and before it in the others";
        assert_eq!(rooms.lead().unwrap().sentence().unwrap(), expected);
    }

    #[test]
    fn what_is_said_before_a_drift_is_a_false_alarm_and_no_lead() {
        let mut rooms = Rooms::of(SCENARIO).unwrap();
        notices(&mut rooms, "a", 21);
        passes(&mut rooms, "a", 10);
        let lead = rooms.lead().unwrap();
        assert_eq!((lead.leads, lead.false_alarms), (vec![None, None], 1));
        notices(&mut rooms, "a", 22);
        notices(&mut rooms, "c", 30);
        let lead = rooms.lead().unwrap();
        assert_eq!((lead.leads, lead.false_alarms), (vec![None, Some(58)], 2));
    }

    #[test]
    fn not_good_enough_is_an_error() {
        let lead = |leads: &[Option<i64>], false_alarms| Lead { leads: leads.to_vec(), false_alarms, exact_rooms: 3 };
        assert!(lead(&[None, Some(10), Some(11)], 1).sentence().is_ok());
        assert!(lead(&[Some(9), Some(9), Some(50)], 0).sentence().is_err());
        assert!(lead(&[None, None, Some(50)], 0).sentence().is_err());
        assert!(lead(&[Some(50), Some(50), Some(50)], 2).sentence().is_err());
        let mut rooms = Rooms::of(SCENARIO).unwrap();
        passes(&mut rooms, "c", 3);
        assert!(rooms.lead().is_err(), "a threshold that speaks for nothing proves nothing");
    }
}
