//! `marea dora`: the four DORA metrics from ARM's own record of what was deployed.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use stack::dora::{Metrics, Window, measure};
use stack::git;
use stack::history::Entry;

use super::history::read_entries;
use crate::args::{StackArgs, StackName};
use crate::error::Result;
use crate::project::Project;
use crate::session::Session;
use crate::terminal::{Terminal, print, print_json};

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  marea dora\n  marea dora --env production --days 90\n  marea dora deploy --json\n\nWhat is counted:\n  deployment     one `marea up` that changed a stack or failed trying, however many stacks it changed\n  frequency      the successful ones by the days of the window\n  lead time      from a commit's committer date to the end of the first successful deployment with it; median\n  failure rate   deployments that failed, or that the next one took back to an earlier commit, of all\n  recovery time  from the end of a failed deployment to the end of the next successful one; median\n\nCommits are read from the repository's git history; a shallow clone leaves lead times out and says so."
)]
pub struct Dora {
    #[command(flatten)]
    pub stacks: StackArgs,
    /// How far back from now.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
}

pub async fn run(args: &Dora) -> Result<()> {
    let project = Project::find()?;
    let selection = project.selection(args.stacks.stack);
    let terminal = Terminal::new();
    let session = Session::open(project, &args.stacks.env, false, &terminal).await?;
    let mut entries = read_entries(&session, &selection).await?;
    // Entries of before environments were recorded have none.
    entries.retain(|entry: &Entry| entry.environment.as_ref().is_none_or(|name| *name == session.environment));
    let window = Window { until: jiff::Timestamp::now(), days: args.days };
    let metrics = measure(&entries, window, |before, now| git::commits_between(&session.project.root, before, now));
    terminal.clear();
    let stacks: Vec<&str> = selection.iter().map(|stack: &StackName| stack.name()).collect();
    if args.stacks.json {
        let mut document = json!({
            "environment": session.environment,
            "stacks": stacks,
            "from": window.from().to_string(),
            "until": window.until.to_string(),
            "days": window.days,
        });
        if let (Some(document), Ok(serde_json::Value::Object(metrics))) =
            (document.as_object_mut(), serde_json::to_value(&metrics))
        {
            document.extend(metrics);
        }
        print_json(&document);
        return Ok(());
    }
    print(&format!("{} ({}), the last {} days", session.environment, stacks.join(", "), window.days));
    print(&text(&metrics));
    Ok(())
}

fn text(metrics: &Metrics) -> String {
    let Metrics { deployment_frequency: frequency, lead_time, change_failure_rate: failures, recovery_time } = metrics;
    let none = || "-".to_owned();
    let mut lines = vec![
        line(
            "Deployment frequency",
            &format!("{:.2} a day", frequency.per_day),
            &format!("{} successful deployments", frequency.deployments),
        ),
        line(
            "Lead time for changes",
            &lead_time.median_seconds.map_or_else(none, span),
            &format!("median of {} commits", lead_time.commits),
        ),
        line(
            "Change failure rate",
            &failures.ratio.map_or_else(none, |ratio| format!("{:.1} %", ratio * 100.0)),
            &format!("{} of {} deployments", failures.failed, failures.deployments),
        ),
        line(
            "Failed deployment recovery time",
            &recovery_time.median_seconds.map_or_else(none, span),
            &format!("median of {} recoveries", recovery_time.recovered),
        ),
    ];
    if let Some(since) = recovery_time.open_since {
        lines.push(format!(
            "The deployment that failed at {} has not been followed by a successful one.",
            since.strftime("%F %H:%M UTC")
        ));
    }
    if lead_time.deployments_without_commits > 0 {
        lines.push(format!(
            "Lead times leave out {} deployments: git knows no dates of their commits here.",
            lead_time.deployments_without_commits
        ));
    }
    lines.join("\n")
}

fn line(name: &str, value: &str, of: &str) -> String {
    format!("  {name:<32} {value:<14} {of}")
}

/// `45 s`, `12 min`, `3 h 05 min`, `2 d 4 h`
fn span(seconds: f64) -> String {
    let whole = Duration::from_secs_f64(seconds.max(0.0).round()).as_secs();
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{minutes} min"),
        3600..86_400 => format!("{hours} h {minutes:02} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use stack::dora::{FailureRate, Frequency, LeadTime, Recovery};

    use super::*;

    fn metrics(seconds: Option<f64>) -> Metrics {
        Metrics {
            deployment_frequency: Frequency { deployments: 5, per_day: 0.5 },
            lead_time: LeadTime { commits: 3, median_seconds: seconds, deployments_without_commits: 1 },
            change_failure_rate: FailureRate { failed: 1, deployments: 8, ratio: Some(0.125) },
            recovery_time: Recovery { recovered: 1, median_seconds: Some(45.0), open_since: None },
        }
    }

    #[test]
    fn metrics_are_told_in_a_table() {
        let told = text(&metrics(Some(11_100.0)));
        assert_eq!(
            told,
            "  Deployment frequency             0.50 a day     5 successful deployments\n  \
             Lead time for changes            3 h 05 min     median of 3 commits\n  \
             Change failure rate              12.5 %         1 of 8 deployments\n  \
             Failed deployment recovery time  45 s           median of 1 recoveries\n\
             Lead times leave out 1 deployments: git knows no dates of their commits here."
        );
        assert!(text(&metrics(None)).contains("Lead time for changes            -  "));
    }

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, expected) in [(0.4, "0 s"), (59.6, "1 min"), (720.0, "12 min"), (187_200.0, "2 d 4 h")] {
            assert_eq!(span(seconds), expected);
        }
    }
}
