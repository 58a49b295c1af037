//! `${thing}` and `${component}` in filters, paths and configuration values.
//!
//! There is no third: nothing from the environment, the clock or a file, so that the same text means the
//! same on every gateway of that name. What looks like a substitution and is none is a mistake, since
//! passing it on would hide it.

use std::sync::Arc;

use super::mistake::{Wrong, quoted, wrong};

/// What the two names stand for at one place of the file.
#[derive(Clone, Default)]
pub(super) struct Names {
    /// None once the file has it wrong: the mistake is known, and no second one follows from it.
    pub thing: Option<Arc<str>>,
    /// None outside `[component.*]`.
    pub component: Option<Arc<str>>,
}

const CURE: &str = "use ${thing} or ${component}; there is no other";

impl Names {
    pub fn substitute(&self, text: &str) -> Result<String, Wrong> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                return wrong(format!("`${{` is not closed in {}", quoted(text)), CURE);
            };
            match name {
                "thing" => out.push_str(self.thing.as_deref().unwrap_or("thing")),
                "component" => match &self.component {
                    Some(component) => out.push_str(component),
                    None => return wrong("${component} means nothing here", "use it inside [component.NAME] only"),
                },
                _ => return wrong(format!("nothing is known as {}", quoted(&format!("${{{name}}}"))), CURE),
            }
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_names_are_substituted_and_nothing_else() {
        let names = Names { thing: Some("gw".into()), component: Some("avg".into()) };
        let cases = [
            ("", Some("")),
            ("a/b", Some("a/b")),
            ("$aws/things/${thing}/x", Some("$aws/things/gw/x")),
            ("${component}-${thing}${thing}", Some("avg-gwgw")),
            ("costs $5 {thing}", Some("costs $5 {thing}")),
            ("${HOME}", None),
            ("${}", None),
            ("${ thing }", None),
            ("${thing", None),
        ];
        for (text, expected) in cases {
            assert_eq!(names.substitute(text).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_substituted_is_not_substituted_again() {
        let names = Names { thing: Some("${component}".into()), component: Some("avg".into()) };
        assert_eq!(names.substitute("${thing}").ok().as_deref(), Some("${component}"));
    }

    #[test]
    fn a_component_has_no_name_outside_its_table() {
        assert!(Names::default().substitute("${component}").is_err());
    }
}
