//! `marea gate`: two revisions of the platform under the same traffic; fails the one that breaks the objective or the budget.

mod markdown;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde_json::{Value, json};
use units::Millis;

use crate::commands::simulate::{Source, Traffic, write};
use crate::error::{CliError, Exit, Result};
use crate::project::Project;
use crate::terminal::{note, print, print_json};
use crate::tune::search::Score;
use crate::tune::slo::Slo;
use crate::tune::trial::Window;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marea gate origin/main..HEAD --trace last-month.csv --slo 'p99<300ms,errors<0.1%' --budget 250
  marea gate v1.2..  --scenario shop.yaml --slo 'p99<300ms'        the working tree against v1.2
  marea gate main..HEAD --trace last-month.csv --markdown comment.md --json

Exit codes: 0 it holds, 3 it breaks the objective or the budget, 2 bad usage or input.")]
pub struct Gate {
    /// BASE..HEAD, as git names revisions; without HEAD the working tree.
    pub revisions: String,
    #[command(flatten)]
    pub traffic: Traffic,
    /// What HEAD must keep, e.g. 'p99<300ms,errors<0.1%' [default: what BASE keeps].
    #[arg(long)]
    pub slo: Option<Slo>,
    /// Dollars a month that HEAD may cost at the most.
    #[arg(long, value_name = "USD", value_parser = budget)]
    pub budget: Option<f64>,
    /// How many seeds each revision is simulated with; the median of each figure counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub seeds: u16,
    /// Write the comparison for a pull request.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// One JSON document instead of text.
    #[arg(long)]
    pub json: bool,
}

fn budget(text: &str) -> std::result::Result<f64, String> {
    let value = text.trim_start_matches('$').parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0);
    value.ok_or_else(|| "a budget is a number of dollars above 0".to_owned())
}

/// One bound and what HEAD does with it.
struct Check {
    name: &'static str,
    unit: &'static str,
    limit: f64,
    base: f64,
    head: f64,
}

impl Check {
    /// A hair above the bound is the rounding of the simulation, not a change that anybody made.
    fn holds(&self) -> bool {
        self.head <= self.limit * (1.0 + 1e-9) + 1e-9
    }
}

struct Report {
    revisions: [String; 2],
    scores: [Score; 2],
    checks: Vec<Check>,
    seconds: i64,
}

pub fn run(args: &Gate) -> Result<Exit> {
    let project = Project::find()?;
    let (base, head) = args.revisions.split_once("..").filter(|(base, _)| !base.is_empty()).ok_or_else(|| {
        CliError::bad_input(format!("`{}` does not name two revisions", args.revisions))
            .advice("Write it as main..HEAD.")
    })?;
    let source = args.traffic.read()?;
    let folder = tempfile::tempdir().map_err(|error| CliError::failed(format!("no temporary folder: {error}")))?;
    let old = checkout(&project.root, base, &folder.path().join("base"))?;
    let new = match head.trim_start_matches('.') {
        "" => project,
        head => checkout(&project.root, head, &folder.path().join("head"))?,
    };
    let sides = [
        side(args, &source, &old, base)?,
        side(args, &source, &new, if head.is_empty() { "the working tree" } else { head })?,
    ];
    let report = Report::new(args, sides)?;
    if let Some(file) = &args.markdown {
        write(file, &markdown::render(&report))?;
        note(&format!("wrote {}", file.display()));
    }
    if args.json {
        print_json(&report.json());
    } else {
        print(&markdown::text(&report));
    }
    Ok(if report.holds() { Exit::Done } else { Exit::WouldChange })
}

struct Side {
    name: String,
    score: Score,
    seconds: i64,
}

/// The median of each figure over the seeds.
fn side(args: &Gate, source: &Source, project: &Project, name: &str) -> Result<Side> {
    let within = |error: CliError| CliError { message: format!("{name}: {}", error.message), ..error };
    let mut trial = source.trial_of(project).map_err(within)?;
    trial.document.objective = args.slo.unwrap_or_default().objective(trial.document.objective);
    let duration = trial.duration();
    let mut scores = Vec::new();
    for number in 0..u64::from(args.seeds) {
        let seed = trial.document.seed.wrapping_add(number);
        let window = Window { from: Millis::ZERO, to: duration, faults: trial.document.faults.clone(), seed };
        scores.push(trial.score(&[], &window).map_err(within)?);
    }
    let median = |of: fn(&Score) -> f64| {
        let mut values: Vec<f64> = scores.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let score = Score {
        usd_month: median(|score| score.usd_month),
        p50_ms: median(|score| score.p50_ms),
        p95_ms: median(|score| score.p95_ms),
        p99_ms: median(|score| score.p99_ms),
        errors: median(|score| score.errors),
        slo_missed_minutes: median(|score| score.slo_missed_minutes),
    };
    Ok(Side { name: name.to_owned(), score, seconds: duration.0 / 1000 })
}

/// The stacks and manifests of a revision, in a folder of their own. The working tree is not touched.
fn checkout(root: &Path, revision: &str, folder: &Path) -> Result<Project> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(root).args(arguments).stdin(Stdio::null());
        command.output().map_err(|error| CliError::failed(format!("git could not be run: {error}")))
    };
    let known = git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{revision}^{{commit}}")])?;
    if !known.status.success() {
        return Err(CliError::bad_input(format!("git knows no revision `{revision}`"))
            .advice("In a pull request, check out with its whole history (fetch-depth: 0)."));
    }
    let commit = String::from_utf8_lossy(&known.stdout).trim().to_owned();
    let listed = git(&["ls-tree", "-d", "--name-only", &commit])?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let wanted: Vec<&str> =
        listed.lines().filter(|name| name.starts_with("infrastructure-k8s-") || *name == "k8s").collect();
    if wanted.len() < 4 {
        return Err(CliError::bad_input(format!("`{revision}` has not all three stacks and their manifests")));
    }
    std::fs::create_dir_all(folder)
        .map_err(|error| CliError::failed(format!("{} cannot be made: {error}", folder.display())))?;
    let archive = git(&[&["archive", "--format=tar", &commit, "--"], wanted.as_slice()].concat())?;
    let failed = |what: String| CliError::failed(format!("`{revision}` could not be read: {what}"));
    if !archive.status.success() {
        return Err(failed(String::from_utf8_lossy(&archive.stderr).trim().to_owned()));
    }
    let mut reader = tar::Archive::new(archive.stdout.as_slice());
    reader.unpack(folder).map_err(|error| failed(error.to_string()))?;
    Ok(Project { root: folder.to_owned(), here: None })
}

impl Report {
    fn new(args: &Gate, [base, head]: [Side; 2]) -> Result<Report> {
        let (old, new) = (base.score, head.score);
        let slo = args.slo.unwrap_or_default();
        let mut checks = Vec::new();
        let mut add = |name, unit, limit: Option<f64>, base, head| {
            checks.extend(limit.map(|limit| Check { name, unit, limit, base, head }));
        };
        add("p50", "ms", slo.p50, old.p50_ms, new.p50_ms);
        add("p95", "ms", slo.p95, old.p95_ms, new.p95_ms);
        // Without an objective, HEAD must keep what BASE keeps.
        let kept = |bound: Option<f64>, today: f64| bound.or_else(|| slo.is_empty().then_some(today));
        add("p99", "ms", kept(slo.p99, old.p99_ms), old.p99_ms, new.p99_ms);
        add(
            "errors",
            "%",
            kept(slo.errors, old.errors).map(|share| share * 100.0),
            old.errors * 100.0,
            new.errors * 100.0,
        );
        add("cost", "$ a month", args.budget, old.usd_month, new.usd_month);
        Ok(Report { revisions: [base.name, head.name], scores: [old, new], checks, seconds: head.seconds })
    }

    fn holds(&self) -> bool {
        self.checks.iter().all(Check::holds)
    }

    fn json(&self) -> Value {
        let checks = self.checks.iter().map(|check| {
            json!({"name": check.name, "unit": check.unit, "limit": check.limit, "base": check.base, "head": check.head, "holds": check.holds()})
        });
        json!({
            "holds": self.holds(),
            "base": {"revision": self.revisions[0], "scores": self.scores[0]},
            "head": {"revision": self.revisions[1], "scores": self.scores[1]},
            "checks": checks.collect::<Vec<_>>(),
            "usdMonthDifference": ((self.scores[1].usd_month - self.scores[0].usd_month) * 100.0).round() / 100.0,
            "seconds": self.seconds,
        })
    }
}
