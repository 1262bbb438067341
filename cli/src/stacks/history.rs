//! `marea history`, and the tags that make it possible.

use std::time::Duration;

use arm_model::resources::Tags;
use serde_json::json;
use stack::history::{self, Entry, Outcome, Record};

use super::Known;
use crate::args::{StackArgs, StackName};
use crate::error::Result;
use crate::project::Project;
use crate::session::Session;
use crate::terminal::{Terminal, print, print_json};

pub fn tags(session: &Session, stack: StackName) -> Tags {
    history::stack_tags(stack.name(), &session.environment, session.commit.as_deref())
}

/// One entry for a stack that was changed, or could not be. Releases of deploy are recorded in the database's group, which
/// survives rebuilding base.
pub async fn record(
    session: &Session,
    stack: StackName,
    known: &Known,
    duration: Duration,
    summary: &str,
    outcome: Outcome,
) -> Result<()> {
    let record = Record {
        stack: stack.name(),
        environment: &session.environment,
        commit: session.commit.as_deref(),
        run: &session.run,
        duration,
        summary,
        outcome,
    };
    let name = format!("marea-{}-{}", stack.name(), jiff::Timestamp::now().as_millisecond());
    let (scope, location) = scope(session, stack, known)?;
    Ok(session.driver().record(&scope, &name, location.as_deref(), record.tags()).await?)
}

/// Where a stack's entries are; a location only for the subscription.
fn scope(session: &Session, stack: StackName, known: &Known) -> Result<(String, Option<String>)> {
    let subscription = session.arm.subscription_path();
    if stack == StackName::Deploy {
        let group = known.need_db()?.resource_group;
        return Ok((format!("{subscription}/resourceGroups/{group}"), None));
    }
    Ok((subscription, Some(super::base::load(&session.project, &session.environment, true)?.location)))
}

/// Of all the stacks named, the newest first.
pub async fn read_entries(session: &Session, selection: &[StackName]) -> Result<Vec<Entry>> {
    let known = super::up::read_known(session).await?;
    let mut entries: Vec<Entry> = Vec::new();
    for &stack in selection {
        if stack == StackName::Deploy && known.db_outputs().is_none() {
            continue;
        }
        let (scope, _) = scope(session, stack, &known)?;
        entries.extend(history::list(&session.arm, &scope, stack.name()).await?);
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.time()));
    Ok(entries)
}

pub async fn run(args: &StackArgs) -> Result<()> {
    let project = Project::find()?;
    let selection = project.selection(args.stack);
    let terminal = Terminal::new();
    let session = Session::open(project, &args.env, false, &terminal).await?;
    let entries = read_entries(&session, &selection).await?;
    terminal.clear();
    if args.json {
        print_json(&json!(entries));
        return Ok(());
    }
    if entries.is_empty() {
        print("Nothing was deployed yet.");
    }
    for entry in &entries {
        let commit = entry.commit.as_deref().map_or("-", |commit| &commit[..commit.len().min(10)]);
        let duration =
            entry.duration_ms.map(|ms| crate::terminal::seconds(Duration::from_millis(ms))).unwrap_or_default();
        print(&format!(
            "{:<25} {:<7} {:<10} {:<10} {:>8}  {}",
            entry.at,
            entry.stack,
            entry.state,
            commit,
            duration,
            entry.summary.as_deref().unwrap_or_default()
        ));
    }
    Ok(())
}
