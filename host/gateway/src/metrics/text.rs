//! The form in which Prometheus reads figures.

use std::fmt::Write as _;

pub(super) fn family(text: &mut String, name: &str, kind: &str, samples: impl IntoIterator<Item = (String, String)>) {
    heading(text, name, kind);
    for (labels, value) in samples {
        sample(text, name, &labels, &value);
    }
}

// Writing to a string cannot fail.

pub(super) fn heading(text: &mut String, name: &str, kind: &str) {
    let _ = writeln!(text, "# TYPE {name} {kind}");
}

pub(super) fn sample(text: &mut String, name: &str, labels: &str, value: &str) {
    let _ = writeln!(text, "{name}{labels} {value}");
}

pub(super) fn labels(pairs: &[(&str, &str)]) -> String {
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(labels(&[("a", "x\"y\\z\n"), ("b", "")]), r#"{a="x\"y\\z\n",b=""}"#);
    }
}
