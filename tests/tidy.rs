//! The rules of the house, as tests: who may import whom, which crate stays where, how long things may be, what is
//! never written down.
//!
//! They read the repository's files and nothing else. Every check is shown a bad sample first, so that none of them
//! can pass because it sees nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

#[path = "tidy/dependencies.rs"]
mod dependencies;
#[path = "tidy/fences.rs"]
mod fences;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

/// Something against the rules: where, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Violation {
    /// What an allow-list entry names, such as a file or `file: function`.
    place: String,
    what: String,
}

impl Violation {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

/// A place that may break a rule, and why.
type Allowed = (&'static str, &'static str);

/// What is left of `violations` after the allow-list; entries that allow nothing, or give no reason, are violations
/// themselves.
fn except(violations: Vec<Violation>, allowed: &[Allowed]) -> Vec<Violation> {
    let stale = allowed.iter().filter(|(place, _)| !violations.iter().any(|found| found.place == *place));
    let stale =
        stale.map(|(place, _)| Violation::new(*place, "is allowed what it does not do; drop the entry"));
    let unexplained = allowed.iter().filter(|(_, reason)| reason.len() < 10);
    let unexplained =
        unexplained.map(|(place, _)| Violation::new(*place, "is allowed something without a reason"));
    let mut left: Vec<Violation> = stale.chain(unexplained).collect();
    left.extend(
        violations.into_iter().filter(|found| !allowed.iter().any(|(place, _)| found.place == *place)),
    );
    left
}

/// Fails, with a line for each violation.
#[track_caller]
fn assert_none(violations: &[Violation]) {
    let lines: Vec<String> =
        violations.iter().map(|found| format!("{}: {}", found.place, found.what)).collect();
    assert!(lines.is_empty(), "{} against the house rules:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn an_allow_list_entry_needs_a_reason_and_something_to_allow() {
    let found = || vec![Violation::new("a.rs", "too long"), Violation::new("b.rs", "too long")];
    assert_eq!(except(found(), &[("a.rs", "a table, best read whole")]), found()[1..]);
    assert_eq!(except(found(), &[("a.rs", "")]).len(), 2, "no reason");
    assert_eq!(except(found(), &[("c.rs", "a table, best read whole")]).len(), 3, "stale");
}
