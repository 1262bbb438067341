//! Cross-checks over templates and manifests that neither side can make alone.
//!
//! This crate exists so that the checks know nothing of files, clouds and stack configurations: they read one
//! [`platform::Platform`], and [`Sources`] says where its parts are written. Each rule is one file of `rules/`, and
//! [`RULES`] is the list. A rule cannot fail on odd input: what it does not understand it passes over, and
//! `malformed-object` says so.

mod addresses;
mod at;
mod context;
mod finding;
mod full;
mod labels;
mod policies;
mod prices;
mod rules;
mod sources;
mod table;

pub use at::At;
pub use context::Context;
pub use finding::{Finding, Place, Report, Rule, Severity};
pub use rules::RULES;
pub use sources::{Document, Lines, Ruled, Sources, StackFile};
pub use table::{explain, table};

use platform::Platform;

/// Every finding of every rule, in the order of the rules and then of the manifests.
pub fn check(platform: &Platform, sources: &Sources) -> Vec<Finding> {
    run(RULES.iter(), platform, sources)
}

/// As [`check`] for the rules of these ids.
pub fn check_only(ids: &[&str], platform: &Platform, sources: &Sources) -> Vec<Finding> {
    run(RULES.iter().filter(|rule| ids.contains(&rule.id)), platform, sources)
}

fn run(rules: impl Iterator<Item = &'static Rule>, platform: &Platform, sources: &Sources) -> Vec<Finding> {
    let context = Context::new(platform);
    let mut report = Report::new(sources, platform);
    for rule in rules {
        report.of(rule);
        (rule.check)(&context, &mut report);
    }
    report.into_findings()
}
