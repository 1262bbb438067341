//! An independent checker: what must hold of any cluster and of any decision, worked out anew from the views.
//!
//! It shares no code with the decisions beyond the views' own matching, so that an error there is not repeated here.
//! The simulator runs it after every step, the property tests on every generated case.

mod decision;
mod placement;
mod state;

use std::fmt;

pub use decision::{node_decision, outcome};
pub use state::{State, state};

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// A stable, dotted id such as `node.cpu`.
    pub rule: &'static str,
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

/// Collects findings.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn note(&mut self, rule: &'static str, text: String) {
        self.0.push(Finding { rule, text });
    }

    fn unless(&mut self, holds: bool, rule: &'static str, text: impl FnOnce() -> String) {
        if !holds {
            self.note(rule, text());
        }
    }
}

#[cfg(test)]
mod tests;
