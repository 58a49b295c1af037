//! One source: its last readings, and whether it is out of the usual: pure, without messages or models.

use serde::{Deserialize, Serialize};

/// What is known of a source.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The oldest first.
    pub readings: Vec<f32>,
    /// All that were taken, with those that are forgotten.
    pub taken: u64,
    pub raised: bool,
}

impl Source {
    /// With one more reading, and only the last of them.
    pub fn with(&self, reading: f32, window: usize) -> Self {
        let kept = (self.readings.len() + 1).saturating_sub(window);
        let readings = self.readings.iter().skip(kept).copied().chain([reading]).collect();
        Self { readings, taken: self.taken + 1, ..*self }
    }

    pub fn is_full(&self, window: usize) -> bool {
        self.readings.len() == window
    }
}

/// The root of the mean square of the differences, to four places: what a person reads is what is compared. The error says
/// what the model has done instead of saying what it knows the window as.
pub fn score(readings: &[f32], reconstruction: &[f32]) -> Result<f64, String> {
    if readings.len() != reconstruction.len() {
        let (read, said) = (readings.len(), reconstruction.len());
        return Err(format!("it answers {read} readings with {said} numbers; `window` must be what it was made for"));
    }
    let square = |(read, said): (&f32, &f32)| (f64::from(*read) - f64::from(*said)).powi(2);
    let sum: f64 = readings.iter().zip(reconstruction).map(square).sum();
    let score = (sum / readings.len() as f64).sqrt();
    if !score.is_finite() {
        return Err("what it answers is no number".into());
    }
    Ok((score * 10_000.0).round() / 10_000.0)
}

/// Whether a source is out of the usual, given whether it was. The hysteresis only holds that, it never raises it.
pub fn judge(score: f64, above: f64, hysteresis: f64, before: bool) -> bool {
    score > if before { above - hysteresis } else { above }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_readings_are_kept_and_no_more() {
        let mut source = Source { raised: true, ..Source::default() };
        for (reading, expected) in [(1.0, &[1.0][..]), (2.0, &[1.0, 2.0]), (3.0, &[2.0, 3.0]), (4.0, &[3.0, 4.0])] {
            source = source.with(reading, 2);
            assert_eq!(source.readings, expected);
            assert_eq!(source.is_full(2), expected.len() == 2);
        }
        assert_eq!((source.raised, source.taken), (true, 4));
    }

    #[test]
    fn a_window_that_is_made_shorter_forgets_the_oldest() {
        let long = Source { readings: vec![1.0, 2.0, 3.0, 4.0], ..Source::default() };
        assert_eq!(long.with(5.0, 2).readings, [4.0, 5.0]);
    }

    #[test]
    fn the_score_is_in_the_units_of_the_readings() {
        let cases: [(&[f32], &[f32], f64); 4] = [
            (&[1.0, 2.0], &[1.0, 2.0], 0.0),
            (&[1.0, 2.0], &[1.5, 1.5], 0.5),
            (&[0.0, 0.0, 0.0, 0.0], &[2.0, 0.0, 0.0, 0.0], 1.0),
            (&[0.0, 0.0, 0.0], &[1.0, 0.0, 0.0], 0.5774),
        ];
        for (readings, said, expected) in cases {
            assert_eq!(score(readings, said), Ok(expected), "{readings:?} {said:?}");
        }
    }

    #[test]
    fn the_shipped_model_keeps_the_usual_below_the_usual_limit_and_a_drift_above() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/reference.json");
        let reference: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let cases = &reference["models"]["anomaly.onnx"]["cases"];
        let numbers = |tensor: &serde_json::Value| serde_json::from_value::<Vec<f32>>(tensor["data"].clone()).unwrap();
        // A closed door, an open one, a sensor that has drifted by a degree.
        for (case, unusual) in [(0, false), (1, false), (2, true)] {
            let score = score(&numbers(&cases[case]["inputs"][0]), &numbers(&cases[case]["outputs"][0])).unwrap();
            assert_eq!(judge(score, 0.3, 0.1, false), unusual, "{case}: {score}");
        }
    }

    #[test]
    fn what_a_model_should_not_answer_is_no_score() {
        for said in [&[][..], &[1.0], &[1.0, 2.0, 3.0], &[1.0, f32::NAN], &[1.0, f32::INFINITY]] {
            assert!(score(&[1.0, 2.0], said).is_err(), "{said:?}");
        }
        assert!(score(&[f32::MAX], &[f32::MIN]).is_ok(), "as far apart as numbers go");
    }

    #[test]
    fn hysteresis_holds_and_never_raises() {
        let cases =
            [(0.3, false, false), (0.31, false, true), (0.25, true, true), (0.19, true, false), (0.25, false, false)];
        for (score, before, expected) in cases {
            assert_eq!(judge(score, 0.3, 0.1, before), expected, "{score} {before}");
        }
    }
}
