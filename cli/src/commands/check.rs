//! `marea check`: faults of the platform that would be deployed, or of any folder of manifests. Nothing is asked of any cloud.

mod folder;
mod repository;

use std::path::PathBuf;

use clap::ValueEnum;
use lint::{Finding, RULES, Rule, Severity, Sources};
use platform::Platform;
use serde_json::json;

use crate::error::{CliError, Exit, Result};
use crate::project::Project;
use crate::terminal::{print, print_json};

#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  marea check                                the platform as marea up would make it here\n  marea check --env production --json\n  marea check --set backend.hpa.max=20       what if\n  marea check --manifests k8s/               any folder of manifests\n  helm template . | marea check --manifests -\n  marea check --explain hpa-max-exceeds-pool\n\nExit codes: 0 no finding, 3 findings, 2 something could not be read."
)]
pub struct CheckArgs {
    /// Which stack.<ENV>.yaml.
    #[arg(long, default_value = "local", env = "MAREA_ENV")]
    pub env: String,
    /// A folder or file of manifests instead of the stacks; `-` reads standard input. ARM templates (.json) in it are read too.
    #[arg(long, value_name = "PATH", conflicts_with = "set")]
    pub manifests: Vec<PathBuf>,
    /// A setting in the place of the files' own, e.g. backend.hpa.max=20.
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Only this rule; may be given several times.
    #[arg(long, value_name = "ID")]
    pub rule: Vec<String>,
    /// The mildest finding that counts.
    #[arg(long, value_enum, default_value_t = Threshold::Warning)]
    pub severity: Threshold,
    /// Say what a rule is about, and stop.
    #[arg(long, value_name = "ID")]
    pub explain: Option<String>,
    /// Print the table of all rules, and stop.
    #[arg(long)]
    pub rules: bool,
    /// One JSON document instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Threshold {
    Note,
    Warning,
    Error,
}

impl Threshold {
    fn admits(self, severity: Severity) -> bool {
        let least = match self {
            Threshold::Note => Severity::Note,
            Threshold::Warning => Severity::Warning,
            Threshold::Error => Severity::Error,
        };
        severity >= least
    }
}

/// What is checked, and where it is written.
struct Subject {
    platform: Platform,
    sources: Sources,
}

pub fn run(args: &CheckArgs) -> Result<Exit> {
    if args.rules {
        print(lint::table().trim_end());
        return Ok(Exit::Done);
    }
    if let Some(id) = &args.explain {
        print(&lint::explain(rule(id)?));
        return Ok(Exit::Done);
    }
    let selected = args.rule.iter().map(|id| rule(id).map(|rule| rule.id)).collect::<Result<Vec<_>>>()?;
    let subject = if args.manifests.is_empty() {
        repository::read(&Project::find()?, &args.env, &args.set)?
    } else {
        folder::read(&args.manifests)?
    };
    let mut findings = lint::check(&subject.platform, &subject.sources);
    findings.retain(|finding| {
        args.severity.admits(finding.severity) && (selected.is_empty() || selected.contains(&finding.rule))
    });
    if args.json {
        print_json(&json!({"findings": findings, "summary": summary(&findings)}));
    } else {
        print(&text(&findings, &subject.platform));
    }
    Ok(if findings.is_empty() { Exit::Done } else { Exit::WouldChange })
}

fn rule(id: &str) -> Result<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id).ok_or_else(|| {
        let known: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        CliError::bad_input(format!("no rule is called `{id}`{}", stack::config::suggestion(id, &known)))
            .advice("`marea check --rules` lists them.")
    })
}

fn summary(findings: &[Finding]) -> serde_json::Value {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    json!({"error": count(Severity::Error), "warning": count(Severity::Warning), "note": count(Severity::Note)})
}

fn text(findings: &[Finding], platform: &Platform) -> String {
    if findings.is_empty() {
        return format!(
            "No finding: {} rules on {} objects and {} node pools.",
            RULES.len(),
            platform.objects.len(),
            platform.pools.len()
        );
    }
    let mut lines = Vec::new();
    for finding in findings {
        lines.push(finding.to_string());
        if !finding.place.field.is_empty() {
            lines.push(format!("    at {}", finding.place.field));
        }
        lines.push(format!("    {}", finding.advice));
        lines.extend(finding.alternative.iter().map(|alternative| format!("    {alternative}.")));
    }
    let count = |severity: Severity| match findings.iter().filter(|finding| finding.severity == severity).count() {
        0 => None,
        1 => Some(format!("1 {severity}")),
        several => Some(format!("{several} {severity}s")),
    };
    let counts: Vec<String> = Severity::ALL.into_iter().rev().filter_map(count).collect();
    lines.push(String::new());
    lines.push(format!("{}. `marea check --explain ID` says more about a rule.", counts.join(", ")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_rule_is_refused_with_what_was_meant() {
        let error = rule("hpa-max-exceed-pool").unwrap_err();
        assert_eq!(error.exit, Exit::BadInput);
        assert!(error.message.contains("did you mean `hpa-max-exceeds-pool`?"), "{}", error.message);
    }
}
