//! Whether two numbers are the same number, however they are written: `1`, `1.0` and `10e-1` are.
//!
//! Compared as decimals and never as floats, which hold neither 2^53 + 1 nor 0.1. Both texts were checked by the
//! parser. The cost is linear in the texts, whatever the exponents say.

/// Exponents with more digits are not computed with: such numbers are the same only if they are written the same.
const EXPONENT_DIGITS: usize = 15;

pub(super) fn equal(one: &str, two: &str) -> bool {
    match (Decimal::of(one), Decimal::of(two)) {
        (Some(one), Some(two)) => one == two,
        _ => one == two,
    }
}

/// `digits × 10^exponent`, without a zero at either end of the digits; zero has none, no sign and no exponent.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn of(text: &str) -> Option<Decimal> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).skip_while(|digit| *digit == b'0').collect();
        if digits.is_empty() {
            return Some(Decimal { negative: false, digits, exponent: 0 });
        }
        let mut exponent = small(exponent)?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        while digits.pop_if(|digit| *digit == b'0').is_some() {
            exponent = exponent.checked_add(1)?;
        }
        Some(Decimal { negative: mantissa.starts_with('-'), digits, exponent })
    }
}

fn small(exponent: &str) -> Option<i64> {
    let digits = exponent.trim_start_matches(['+', '-']).trim_start_matches('0');
    if digits.len() > EXPONENT_DIGITS {
        return None;
    }
    let size: i64 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    Some(if exponent.starts_with('-') { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers are the same by value, not by text and not by what a float makes of them.
    #[test]
    fn numbers_are_compared_by_value() {
        let same = [
            ["1", "1.0"],
            ["1", "10e-1"],
            ["1", "0.1E+1"],
            ["-0", "0.000e99999999999999999999"],
            ["100", "1e2"],
            ["1e0000000000000000000000002", "100.00"],
            ["-2.50", "-2.5"],
            ["123456789012345678901234567890", "1.2345678901234567890123456789e29"],
            ["1e999999999999999999999", "1e999999999999999999999"],
        ];
        for [one, two] in same {
            assert!(equal(one, two) && equal(two, one), "{one} {two}");
        }
        let different = [
            ["1", "-1"],
            ["1", "10"],
            ["0", "0.1"],
            ["9007199254740992", "9007199254740993"],
            ["0.1", "0.10000000000000000555"],
            ["1e400", "1e401"],
            ["1e999999999999999999999", "1e-999999999999999999999"],
            ["1e999999999999999999999", "1"],
        ];
        for [one, two] in different {
            assert!(!equal(one, two) && !equal(two, one), "{one} {two}");
        }
    }
}
