//! From a model's numbers to names, the likeliest first: pure.

use serde::Serialize;

/// What may be seen, and how sure the model is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guess {
    pub label: String,
    pub probability: f64,
}

/// The best `top`, to four places. Where numbers are the same the earlier goes first.
pub fn rank(probabilities: &[f32], labels: &[String], top: usize) -> Result<Vec<Guess>, String> {
    if !labels.is_empty() && labels.len() != probabilities.len() {
        let (names, numbers) = (labels.len(), probabilities.len());
        return Err(format!("the model answers with {numbers} numbers, and `labels` has {names} names"));
    }
    if probabilities.is_empty() || probabilities.iter().any(|probability| !probability.is_finite()) {
        return Err("what the model answers are no numbers".into());
    }
    let mut order: Vec<(usize, f32)> = probabilities.iter().copied().enumerate().collect();
    order.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let guess = |(number, probability): (usize, f32)| Guess {
        label: labels.get(number).cloned().unwrap_or_else(|| number.to_string()),
        probability: (f64::from(probability) * 10_000.0).round() / 10_000.0,
    };
    Ok(order.into_iter().take(top).map(guess).collect())
}

/// Probabilities from what a model without a softmax of its own gives.
pub fn softmax(numbers: &[f32]) -> Vec<f32> {
    let greatest = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let raised: Vec<f32> = numbers.iter().map(|number| (number - greatest).exp()).collect();
    let sum: f32 = raised.iter().sum();
    raised.into_iter().map(|number| number / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_likeliest_go_first() {
        let ranked = |top| rank(&[0.1, 0.65, 0.25], &names(&["a", "b", "c"]), top).unwrap();
        let guess = |label: &str, probability| Guess { label: label.into(), probability };
        assert_eq!(ranked(1), [guess("b", 0.65)]);
        assert_eq!(ranked(2), [guess("b", 0.65), guess("c", 0.25)]);
        assert_eq!(ranked(9).len(), 3);
        assert_eq!(rank(&[0.5, 0.5], &names(&["x", "y"]), 1).unwrap(), [guess("x", 0.5)]);
    }

    #[test]
    fn without_names_a_guess_is_a_number() {
        assert_eq!(rank(&[0.1, 0.9], &[], 1).unwrap(), [Guess { label: "1".into(), probability: 0.9 }]);
    }

    #[test]
    fn names_that_are_not_of_this_model_are_an_error() {
        for count in [1, 3] {
            let error = rank(&[0.1, 0.9], &names(&["a"; 3])[..count], 1).unwrap_err();
            assert!(error.contains("2 numbers") && error.contains(&format!("{count} names")), "{error}");
        }
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        for numbers in [&[][..], &[f32::NAN, 1.0], &[f32::INFINITY, 1.0]] {
            assert!(rank(numbers, &[], 1).is_err(), "{numbers:?}");
        }
    }

    #[test]
    fn a_softmax_sums_to_one_however_large_the_numbers_are() {
        for numbers in [&[1.0, 2.0, 3.0][..], &[1000.0, 1001.0], &[-1e30, 1e30], &[0.0]] {
            let sum: f32 = softmax(numbers).iter().sum();
            assert!((sum - 1.0).abs() < 1e-6, "{numbers:?}");
        }
        assert_eq!(softmax(&[3.0, 3.0]), [0.5, 0.5]);
        assert!(rank(&softmax(&[f32::NAN, 1.0]), &[], 1).is_err());
    }
}
