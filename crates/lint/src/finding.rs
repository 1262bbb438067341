//! Rules and what they find.

use std::fmt;

use platform::Platform;
use serde::Serialize;

use crate::{At, Context, Sources};

/// How bad it is; ordered, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Works, and will surprise somebody.
    Note,
    /// Works until load, a failure or a date comes.
    Warning,
    /// Does not do what it says.
    Error,
}

impl Severity {
    pub const ALL: [Severity; 3] = [Severity::Note, Severity::Warning, Severity::Error];

    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One check.
#[derive(Clone, Copy)]
pub struct Rule {
    /// Stable: people write it into their pipelines.
    pub id: &'static str,
    pub severity: Severity,
    /// One line: what goes wrong when it is broken.
    pub why: &'static str,
    /// One line that breaks it.
    pub example: &'static str,
    /// What to do about it.
    pub advice: &'static str,
    pub check: fn(&Context<'_>, &mut Report<'_>),
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

/// Where a finding is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// e.g. `spec.template.spec.containers[0].image`
    pub field: String,
    /// 1-based.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub rule: &'static str,
    pub severity: Severity,
    /// e.g. `Deployment platform/backend` or `pool backend`
    pub subject: String,
    pub message: String,
    #[serde(flatten)]
    pub place: Place,
    pub advice: &'static str,
    /// What else there is and what it costs, where something is to be chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alternative: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.place.file {
            write!(f, "{file}:")?;
            if let Some(line) = self.place.line {
                write!(f, "{line}:")?;
            }
            write!(f, " ")?;
        }
        write!(f, "{}[{}] {}: {}", self.severity, self.rule, self.subject, self.message)
    }
}

/// Collects findings of one rule after the other.
pub struct Report<'a> {
    sources: &'a Sources,
    platform: &'a Platform,
    rule: Option<&'static Rule>,
    findings: Vec<Finding>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(sources: &'a Sources, platform: &'a Platform) -> Report<'a> {
        Report { sources, platform, rule: None, findings: Vec::new() }
    }

    pub(crate) fn of(&mut self, rule: &'static Rule) {
        self.rule = Some(rule);
    }

    pub fn add(&mut self, at: At, message: impl Into<String>) {
        self.push(at, message.into(), None);
    }

    /// With what else could be chosen, and its price.
    pub fn add_with(&mut self, at: At, message: impl Into<String>, alternative: Option<String>) {
        self.push(at, message.into(), alternative);
    }

    fn push(&mut self, at: At, message: String, alternative: Option<String>) {
        let Some(rule) = self.rule else { return };
        self.findings.push(Finding {
            rule: rule.id,
            severity: rule.severity,
            subject: self.subject(&at),
            place: self.sources.place(&at),
            message,
            advice: rule.advice,
            alternative,
        });
    }

    /// Whether an object is in a file, and not made by a stack.
    pub fn is_written(&self, object: usize) -> bool {
        self.file_of(object).is_some()
    }

    pub(crate) fn file_of(&self, object: usize) -> Option<&str> {
        let document = self.sources.objects.get(object).copied().flatten()?;
        self.sources.documents.get(document).map(|document| document.file.as_str())
    }

    fn subject(&self, at: &At) -> String {
        match at {
            At::Pool(name, _) => format!("pool {name}"),
            At::Cluster(_) => format!("cluster {}", self.platform.cluster.name),
            At::Database(_) => {
                format!("database {}", self.platform.database.as_ref().map_or("server", |database| &database.size))
            }
            At::Object(index, _) => {
                let Some(object) = self.platform.objects.get(*index) else { return "object".to_owned() };
                let kind = object["kind"].as_str().unwrap_or("object");
                let name = object["metadata"]["name"].as_str().unwrap_or("without a name");
                match object["metadata"]["namespace"].as_str() {
                    Some(namespace) => format!("{kind} {namespace}/{name}"),
                    None => format!("{kind} {name}"),
                }
            }
        }
    }

    pub(crate) fn into_findings(self) -> Vec<Finding> {
        self.findings
    }
}
