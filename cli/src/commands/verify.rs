//! `marea verify azure`: how like Azure the embedded cloud is, found out on Azure itself.
//!
//! A small platform is deployed to a subscription and then, by the same requests, to an embedded Azure Resource Manager of its
//! own; every answer of the one is held against the other's. What was deployed is destroyed in the end, whatever happens.

mod scenario;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arm_client::{ArmClient, Connection, Credential};
use arm_model::Typed;
use arm_model::resources::DeploymentStack;
use clap::{Args, Subcommand};
use fidelity::{Exchange, Recorder, Report};
use serde_json::json;
use stack::arm::Driver;
use stack::{Reporter, Target};
use units::Money;

use self::scenario::Trial;
use super::cost::Bounds;
use crate::error::{CliError, Exit, Result};
use crate::planned;
use crate::pricing::{Prices, amount};
use crate::project::Project;
use crate::session;
use crate::terminal::{Terminal, confirm, note, print, print_json};

/// Begins the names of everything that a verification makes.
const PREFIX: &str = "marea-verify-";
/// A year's hours by its months, as Azure bills them.
const HOURS_IN_A_MONTH: i64 = 730;

#[derive(Subcommand, Debug)]
pub enum Verify {
    /// Deploy a small platform to Azure, compare every answer with the embedded cloud's, write a report, destroy it. Exit code 3
    /// if anything differs.
    #[command(
        after_help = "Examples:\n  marea verify azure --max-cost 2 --allow-unsupported\n  marea verify azure --max-cost 2 --env staging --report staging.md --json\n  marea verify azure --clean            deletes what an interrupted verification left\n\nStacks and resource groups are called marea-verify-…; nothing else in the subscription is touched. The stacks base and db of the\nenvironment are deployed with every pool at its minimum and a generated password; deploy is left out. It takes about half an hour.\nRequests' bodies and credentials are not written down."
    )]
    Azure(Azure),
}

#[derive(Args, Debug)]
pub struct Azure {
    /// The most that it may cost, in the price sheet's currency (USD); more is refused before anything is made.
    #[arg(long, value_name = "AMOUNT", required_unless_present = "clean")]
    pub max_cost: Option<f64>,
    /// Which stack.<ENV>.yaml; its target must be Azure.
    #[arg(long, default_value = "production", env = "MAREA_ENV")]
    pub env: String,
    /// The longest that anything may exist. The cost is estimated for all of it.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=24))]
    pub hours: u32,
    /// Where the report goes.
    #[arg(long, default_value = "fidelity-azure.md", value_name = "FILE")]
    pub report: PathBuf,
    /// Only delete what an earlier verification left.
    #[arg(long)]
    pub clean: bool,
    /// Deploy what Azure documents as unsupported.
    #[arg(long)]
    pub allow_unsupported: bool,
    /// Go ahead without asking.
    #[arg(long, short)]
    pub yes: bool,
    /// The comparison as one JSON document too.
    #[arg(long)]
    pub json: bool,
}

pub async fn run(args: &Azure) -> Result<Exit> {
    let project = Project::find()?;
    let Target::Azure(target) = session::target_of(&project, &args.env)? else {
        return Err(CliError::bad_input(format!("the stacks of `{}` are for this machine, not for Azure", args.env))
            .advice("Name an environment whose files say `target: {azure: …}` with --env."));
    };
    // What is left over is deleted whatever the files say today.
    let trial = Trial::new(&project, &args.env, args.allow_unsupported || args.clean)?;
    if !args.clean {
        refuse_what_costs_more(&project, args)?;
    }
    let connection = Connection::from_environment(&session::subscription(&target, &args.env)?)?;
    let terminal = Terminal::new();
    terminal.status("asking Azure what is there");
    let client = ArmClient::new(&connection)?;
    let left = left_over(&client).await?;
    if args.clean {
        return clean(&client, &left, args, &terminal).await;
    }
    if !left.is_empty() {
        return Err(CliError::failed(format!("an earlier verification left {}", left.join(", ")))
            .advice("`marea verify azure --clean` deletes it; another one may also be under way right now."));
    }
    trial.check_providers(&client).await?;
    if !args.yes && !confirm(&format!("Deploy to subscription {} and destroy it again?", connection.subscription_id)) {
        return Err(CliError::new(Exit::NotAllowed, "nothing was deployed: it was not confirmed")
            .advice("--yes goes ahead without asking."));
    }
    let started = jiff::Timestamp::now();
    let (azure, stopped_by) = on_azure(&connection, &trial, args.hours, &terminal).await?;
    terminal.status("the same on the embedded cloud");
    let embedded = on_embedded(&connection.subscription_id, &trial).await?;
    terminal.clear();
    let report = Report::new(&azure, &embedded, stopped_by);
    let title = [
        format!("marea {}, {}", env!("CARGO_PKG_VERSION"), started.strftime("%F %H:%M UTC")),
        format!("environment `{}` in {}, at {}", args.env, trial.location(), connection.endpoint),
    ];
    stack::secrets::write_atomically(&args.report, &report.markdown(&title), 0o644)?;
    tell(&report, args);
    match &report.stopped_by {
        Some(error) => Err(CliError::failed(error.clone()).advice(format!(
            "It is destroyed again. {} compares what was answered until then.",
            args.report.display()
        ))),
        None if report.differences.is_empty() => Ok(Exit::Done),
        None => Ok(Exit::WouldChange),
    }
}

fn tell(report: &Report, args: &Azure) {
    if args.json {
        print_json(&json!(report));
    } else {
        let count = report.differences.len();
        print(&format!("{count} differences in {} answers: {}", report.azure_requests, args.report.display()));
    }
}

/// Before a single request: the price sheet and the files say what it can cost.
fn refuse_what_costs_more(project: &Project, args: &Azure) -> Result<()> {
    let prices = Prices::load(None)?;
    let month = Bounds::new(&planned::plan(project, &args.env, &[])?.platform, &prices, None)?.floor.total();
    let cost = estimate(month, args.hours);
    let limit = Money::from_micros((args.max_cost.unwrap_or_default() * 1_000_000.0) as i64);
    let currency = &prices.sheet.currency;
    let told = format!("{} for {} hours at the pools' minimum", amount(cost, currency), args.hours);
    if cost > limit {
        return Err(CliError::new(
            Exit::NotAllowed,
            format!("it may cost {told}, and --max-cost is {}", amount(limit, currency)),
        )
        .advice(
            "Nothing was made. Raise --max-cost, lower --hours, or choose smaller sizes in the environment's files.",
        ));
    }
    note(&format!("It costs {told} at most."));
    Ok(())
}

/// Begun hours are billed whole by some meters, so one hour more is counted.
fn estimate(month: Money, hours: u32) -> Money {
    Money::from_micros(month.micros().saturating_mul(i64::from(hours) + 1) / HOURS_IN_A_MONTH)
}

async fn left_over(client: &ArmClient) -> Result<Vec<String>> {
    let path = format!("{}/providers/Microsoft.Resources/deploymentStacks", client.subscription_path());
    let stacks = client.list(&path, DeploymentStack::API_VERSION).await?;
    let names = stacks.iter().filter_map(|stack| stack["name"].as_str());
    Ok(names.filter(|name| name.starts_with(PREFIX)).map(str::to_owned).collect())
}

async fn clean(client: &ArmClient, left: &[String], args: &Azure, terminal: &Terminal) -> Result<Exit> {
    if left.is_empty() {
        note("Nothing is left of a verification.");
        return Ok(Exit::Done);
    }
    if !args.yes && !confirm(&format!("Delete {}?", left.join(", "))) {
        return Err(CliError::new(Exit::NotAllowed, "nothing was deleted: it was not confirmed")
            .advice("--yes goes ahead without asking."));
    }
    // A database's stack goes before the base whose network it writes into.
    let mut ordered = left.to_vec();
    ordered.sort_by_key(|name| std::cmp::Reverse(name.ends_with("-db")));
    for name in ordered {
        Driver { client }.destroy(&name, terminal).await?;
        terminal.line(&format!("{name}: deleted"));
    }
    Ok(Exit::Done)
}

/// Runs the trial and destroys what it made, also after a failure, a deadline or Ctrl-C. Gives what was answered, and what stopped it.
async fn on_azure(
    connection: &Connection,
    trial: &Trial,
    hours: u32,
    terminal: &Terminal,
) -> Result<(Vec<Exchange>, Option<String>)> {
    let (client, recorder) = recorded(connection)?;
    // The last quarter is kept for destroying.
    let deadline = Duration::from_secs(u64::from(hours) * 3600 / 4 * 3);
    let (stopped_by, interrupted) = tokio::select! {
        result = tokio::time::timeout(deadline, trial.deploy(&client, terminal)) => match result {
            Ok(Ok(())) => (None, false),
            Ok(Err(error)) => (Some(error.message), false),
            Err(_) => (Some(format!("not done within {} minutes", deadline.as_secs() / 60)), false),
        },
        _ = tokio::signal::ctrl_c() => (None, true),
    };
    if let Some(error) = &stopped_by {
        terminal.line(&format!("stopped: {error}"));
    }
    terminal.status("destroying what was deployed");
    if let Err(error) = trial.destroy(&client, terminal).await {
        return Err(CliError {
            message: format!("{} IS NOT DESTROYED AND COSTS MONEY: {}", trial.names(), error.message),
            ..error
        }
        .advice("`marea verify azure --clean` tries again; otherwise delete the two resource groups in the portal."));
    }
    terminal.line("everything is destroyed");
    if interrupted {
        return Err(CliError::new(Exit::Interrupted, "interrupted").advice("What was deployed is destroyed again."));
    }
    Ok((recorder.exchanges(), stopped_by))
}

fn recorded(connection: &Connection) -> Result<(ArmClient, Arc<Recorder>)> {
    let mut recorder = None;
    let client = ArmClient::observed(connection, |transport| {
        let own = Recorder::over(transport);
        recorder = Some(own.clone());
        own
    })?;
    recorder.map(|recorder| (client, recorder)).ok_or_else(|| CliError::failed("the requests cannot be recorded"))
}

/// The same requests to an embedded ARM made for this, with the same subscription id, so that names and ids are equal.
async fn on_embedded(subscription_id: &str, trial: &Trial) -> Result<Vec<Exchange>> {
    let folder =
        tempfile::tempdir().map_err(|error| CliError::failed(format!("no temporary folder can be made: {error}")))?;
    let alone = start(folder.path(), subscription_id).await?;
    let connection = Connection {
        endpoint: alone.endpoint.clone(),
        subscription_id: subscription_id.to_owned(),
        authority: Some(alone.endpoint.clone()),
        certificate_authority: Some(alone.certificate_authority.clone()),
        credential: Credential::ClientSecret {
            tenant_id: arm_server::alone::TENANT.to_owned(),
            client_id: arm_server::alone::CLIENT.to_owned(),
            client_secret: arm_server::alone::SECRET.to_owned(),
        },
    };
    let (client, recorder) = recorded(&connection)?;
    let silent = stack::report::Silent;
    trial.deploy(&client, &silent).await?;
    trial.destroy(&client, &silent).await?;
    let exchanges = recorder.exchanges();
    alone.server.shutdown().await;
    Ok(exchanges)
}

async fn start(folder: &Path, subscription_id: &str) -> Result<arm_server::alone::Alone> {
    arm_server::alone::start(folder, subscription_id).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        CliError::failed(format!("the embedded cloud to compare with does not start: {error}{cause}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_counts_an_hour_more() {
        assert_eq!(estimate(Money::from_cents(73_000), 2), Money::from_cents(300));
    }
}
