//! `docs/promises.md`: every promise names a test or a bench that exists.

use super::File;

pub fn check(files: &[File]) -> Vec<String> {
    let Some(promises) = files.iter().find(|file| file.path == "docs/promises.md") else {
        return vec!["docs/promises.md is missing [promises]".into()];
    };
    let named = promises.text.lines().filter(|line| line.starts_with('|')).flat_map(tests_in);
    let exists = |name: &str| {
        let function = format!("fn {name}(");
        let bench = format!("\"{name}\"");
        files.iter().any(|file| {
            file.path.ends_with(".rs")
                && (file.text.contains(&function) || (file.path.starts_with("benches/") && file.text.contains(&bench)))
        })
    };
    named
        .filter(|name| !exists(name))
        .map(|name| format!("docs/promises.md: there is no test `{name}` [promises]"))
        .collect()
}

/// The names in the second column, each between backticks.
fn tests_in(row: &str) -> impl Iterator<Item = &str> {
    let column = row.split('|').nth(2).unwrap_or_default();
    column.split('`').skip(1).step_by(2).filter_map(|name| name.rsplit("::").next())
}
