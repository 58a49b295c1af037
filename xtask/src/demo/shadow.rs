//! The setpoint in the gateway's shadow: desired by the cloud, done by a component, and changed by both sides while the
//! way between them is cut.
//!
//! Both sides change the same value then, and each one of its own. After, they have to say the same: the cloud's setpoint,
//! since what both have changed in `desired` is the cloud's, and the rest of both.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::edgewit;
use super::far::Far;
use super::scene::{Kind, Scene};

/// In °C: what is desired first, then one after another in the cloud, and what is desired here meanwhile.
const FIRST: u64 = 4;
const THERE: [u64; 3] = [3, 5, 6];
const HERE: u64 = 7;
const DESIRED: &str = "/state/desired/setpoint";
const REPORTED: &str = "/state/reported/setpoint";

#[derive(Default)]
pub struct Shadow {
    step: Step,
    /// The document here.
    here: Value,
    there: Value,
    merges: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Begin,
    /// This much is desired and has to be reported, on both sides.
    Wished(u64),
    /// The same, after both sides went their ways.
    Parted(u64),
    Agreed,
}

impl Shadow {
    /// Asks the gateway for its document.
    pub fn look(&mut self) -> Result<()> {
        let answer = edgewit(&["shadow", "get", "--json"]).output()?;
        if answer.status.success() {
            self.here = serde_json::from_slice(&answer.stdout).context("the shadow")?;
        }
        Ok(())
    }

    pub fn step(&mut self, far: &mut Far, scene: &mut Scene, now: Duration) -> Result<()> {
        self.there = far.shadow.clone().unwrap_or_default();
        match self.step {
            Step::Begin => {
                far.desire(&json!({"setpoint": FIRST}))?;
                scene.say(now, Kind::Shadow, &format!("the cloud desires {FIRST} °C"));
                self.step = Step::Wished(FIRST);
            }
            Step::Wished(wish) if self.is_done(wish) => {
                scene.say(now, Kind::Shadow, &format!("`cooling` does it; {wish} °C is reported, and the cloud knows"));
                self.step = Step::Agreed;
            }
            Step::Parted(wish) if self.is_done(wish) && !far.is_cut() => {
                let desired = at(&self.here, "/state/desired");
                scene.say(now, Kind::Shadow, &format!("merged, the same on both sides: {desired}"));
                self.merges += 1;
                self.step = Step::Agreed;
            }
            Step::Agreed if far.is_cut() => {
                let wish = THERE.get(self.merges % THERE.len()).copied().unwrap_or(FIRST);
                far.desire(&json!({"setpoint": wish, "season": self.merges}))?;
                let own = json!({"setpoint": HERE, "night": self.merges});
                let told = edgewit(&["shadow", "update", "--desired", &own.to_string()]).output()?;
                if !told.status.success() {
                    bail!("the shadow cannot be changed: {}", String::from_utf8_lossy(&told.stderr));
                }
                scene.say(now, Kind::Shadow, &format!("meanwhile the cloud desires {wish} °C, and here {HERE} °C"));
                self.step = Step::Parted(wish);
            }
            _ => {}
        }
        scene.shadow = self.summary();
        Ok(())
    }

    pub fn is_agreed(&self) -> bool {
        self.step == Step::Agreed
    }

    pub fn summary(&self) -> String {
        let of = |side: &Value| {
            let setpoint = |place: &str| match at(side, place) {
                Value::Null => "–".to_owned(),
                setpoint => setpoint.to_string(),
            };
            format!("desired {} °C, reported {} °C", setpoint(DESIRED), setpoint(REPORTED))
        };
        let merges = if self.merges == 1 { "1 merge".to_owned() } else { format!("{} merges", self.merges) };
        if same(&self.here, &self.there) {
            return format!("here and in the cloud {}; {merges}", of(&self.here));
        }
        format!("here {}; in the cloud {}; {merges}", of(&self.here), of(&self.there))
    }

    /// Both sides say the same, and that this much is desired and reported.
    fn is_done(&self, wish: u64) -> bool {
        same(&self.here, &self.there) && [DESIRED, REPORTED].iter().all(|place| *at(&self.here, place) == wish)
    }
}

fn same(here: &Value, there: &Value) -> bool {
    ["/state/desired", "/state/reported"].iter().all(|section| at(here, section) == at(there, section))
}

fn at<'a>(document: &'a Value, place: &str) -> &'a Value {
    document.pointer(place).unwrap_or(&Value::Null)
}
