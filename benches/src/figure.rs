//! One measured number, beside what it is measured against and what it may be.

use std::fmt;

use serde::Serialize;

/// What a figure is held to.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// At most so many times the baseline.
    Ratio(f64),
    /// At most so much, in the figure's unit.
    Value(f64),
    /// At most so much more than the baseline, in the figure's unit.
    Above(f64),
    /// At least this part of the baseline, where more is better.
    Share(f64),
    /// Reported only.
    None,
}

#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    pub name: &'static str,
    pub value: f64,
    pub unit: &'static str,
    pub baseline: Option<f64>,
    /// The median over the rounds, and not the ratio of two medians.
    pub ratio: Option<f64>,
    pub budget: Budget,
    pub verdict: &'static str,
}

impl Figure {
    pub fn alone(name: &'static str, value: f64, unit: &'static str, budget: Budget) -> Self {
        Figure { name, value, unit, baseline: None, ratio: None, budget, verdict: "" }.judged()
    }

    /// From rounds in which the figure and its baseline took turns.
    pub fn beside(name: &'static str, unit: &'static str, rounds: &[(f64, f64)], budget: Budget) -> Self {
        let value = median(rounds.iter().map(|(value, _)| *value));
        let baseline = median(rounds.iter().map(|(_, baseline)| *baseline));
        let ratio = median(rounds.iter().map(|(value, baseline)| value / baseline));
        Figure { name, value, unit, baseline: Some(baseline), ratio: Some(ratio), budget, verdict: "" }.judged()
    }

    fn judged(mut self) -> Self {
        let kept = match (self.budget, self.ratio, self.baseline) {
            (Budget::Ratio(most), Some(ratio), _) => Some(ratio <= most),
            (Budget::Value(most), ..) => Some(self.value <= most),
            (Budget::Share(least), Some(ratio), _) => Some(ratio >= least),
            (Budget::Above(most), _, Some(baseline)) => Some(self.value <= baseline + most),
            _ => None,
        };
        self.verdict = match kept {
            Some(true) => "kept",
            Some(false) => "MISSED",
            None => "reported",
        };
        self
    }

    pub fn is_missed(&self) -> bool {
        self.verdict == "MISSED"
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<44} {:>10.2} {:<8}", self.name, self.value, self.unit)?;
        match (self.baseline, self.ratio) {
            (Some(baseline), Some(ratio)) => write!(f, " baseline {baseline:>10.2}  ratio {ratio:>6.2}")?,
            _ => write!(f, " {:34}", "")?,
        }
        match self.budget {
            Budget::Ratio(most) => write!(f, "  budget ≤ {most:.2}×")?,
            Budget::Value(most) => write!(f, "  budget ≤ {most:.0} {}", self.unit)?,
            Budget::Above(most) => write!(f, "  budget ≤ baseline + {most:.0} {}", self.unit)?,
            Budget::Share(least) => write!(f, "  budget ≥ {least:.2}×")?,
            Budget::None => {}
        }
        write!(f, "  {}", self.verdict)
    }
}

/// The middle one; of an even number the upper of the two in the middle.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    quantile(values, 0.5)
}

pub fn quantile(values: impl Iterator<Item = f64>, at: f64) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let index = (values.len() as f64 * at) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
