//! `marea tune`: looks for settings that cost less and serve as well, and proves them on traffic that the search did not see.

mod text;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use simulate::scenario::Fault;
use stack::Reporter;
use units::Millis;

use crate::commands::simulate::{Traffic, write};
use crate::error::{CliError, Exit, Result};
use crate::planned::Override;
use crate::terminal::{Terminal, print, print_json};
use crate::tune::patch::{self, unified};
use crate::tune::search::{Limits, Score, Search};
use crate::tune::slo::Slo;
use crate::tune::space::{Candidate, Space};
use crate::tune::trial::{Trial, Window, faults};
use crate::tune::verdict::{Tried, Verdict, judge, set_json};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  marea tune --trace requests.csv
  marea tune --trace requests.csv --peak 400 --slo 'p99<300ms,errors<0.1%' --patch better.patch
  marea tune --scenario shop.yaml --only backend.hpa.cpu --only base.nodePools.backend.vmSize --json

The first part of the traffic is searched, the rest is held back: what is recommended is cheaper there too, without more
latency, errors or missed minutes, also when nodes and pods are lost and twice the load comes. Where today's settings miss
the objective, it is the cheapest that keeps it on both parts. Nothing is changed: apply the
patch with `git apply`, then `marea preview`.
Exit codes: 0 done, also when nothing better was found; 2 bad usage or input.")]
pub struct Tune {
    #[command(flatten)]
    pub traffic: Traffic,
    /// What has to be kept, e.g. 'p99<300ms,errors<0.1%' [default: nothing may get worse than it is].
    #[arg(long)]
    pub slo: Option<Slo>,
    /// Search only this setting; may be repeated [default: targets, bounds, behaviour and requests of autoscaled workloads,
    /// bounds and sizes of pools, the database's size].
    #[arg(long, value_name = "PATH")]
    pub only: Vec<String>,
    /// Share of the traffic that the search does not see, in percent.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(10..=90))]
    pub hold_back: u8,
    /// How many settings are simulated at the most.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub evaluations: u32,
    /// Simulations at the same time; the result does not depend on it [default: one for each core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,
    /// Write the recommendation as a patch of the stacks' files and manifests.
    #[arg(long, value_name = "FILE")]
    pub patch: Option<PathBuf>,
    /// One JSON document instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Two windows of the traffic: the searched part and the held-back one, with and without faults.
struct Windows {
    seen: Window,
    held_back: Window,
    faults: Window,
}

struct Report<'a> {
    trial: &'a Trial,
    limits: Limits,
    windows: Windows,
    verdict: Verdict,
    frontier: Vec<(Vec<Override>, Score)>,
    simulated: usize,
    refused: usize,
    patch: String,
}

pub fn run(args: &Tune) -> Result<Exit> {
    let terminal = Terminal::new();
    let source = args.traffic.read()?;
    let objective = args.slo.unwrap_or_default().objective(source.document.objective);
    let mut trial = source.trial()?;
    trial.document.objective = objective;
    for text in &trial.load.notes {
        terminal.line(&format!("note: {text}"));
    }
    let report = tune(args, &trial, &terminal)?;
    if let (Some(file), false) = (&args.patch, report.patch.is_empty()) {
        write(file, &report.patch)?;
        terminal.line(&format!("wrote {}", file.display()));
    }
    terminal.clear();
    if args.json {
        print_json(&report.json());
    } else {
        print(&text::render(&report, args.patch.as_deref()));
    }
    Ok(Exit::Done)
}

fn tune<'a>(args: &Tune, trial: &'a Trial, terminal: &Terminal) -> Result<Report<'a>> {
    let platform = trial.platform()?;
    let space = space(args, trial)?;
    let windows = windows(trial, args.hold_back, |length| faults(&platform, length))?;
    let jobs = args.jobs.map_or_else(cores, usize::from);
    let score = |candidate: &Candidate, window: &Window| trial.score(&space.overrides(candidate), window).ok();
    let today = Tried {
        seen: trial.score(&[], &windows.seen)?,
        held_back: trial.score(&[], &windows.held_back)?,
        faults: trial.score(&[], &windows.faults)?,
    };
    let limits = args.slo.unwrap_or_default().limits(&today.seen);
    let search = Search {
        space: &space,
        limits,
        score: &|candidate| score(candidate, &windows.seen),
        jobs,
        evaluations: args.evaluations as usize,
        progress: &|simulated, cheapest| {
            let cheapest = cheapest.map_or(String::new(), |usd| format!(", {usd:.2} $ a month at the least"));
            terminal.status(&format!("searching ({simulated} settings simulated{cheapest})"));
        },
    };
    let found = search.run((space.current(), today.seen));
    terminal.status("trying the best on the traffic that was held back");
    let verdict = judge(&space, &found, &limits, today, jobs, &|candidate, with_faults| {
        score(candidate, if with_faults { &windows.faults } else { &windows.held_back })
    });
    let patch = match &verdict.best {
        Some((overrides, _)) => unified(&patch::changes(&trial.sources, overrides)?, &trial.root),
        None => String::new(),
    };
    let frontier = found.frontier().iter().map(|(candidate, score)| (space.overrides(candidate), *score)).collect();
    Ok(Report {
        trial,
        limits,
        windows,
        verdict,
        frontier,
        simulated: found.scored.len(),
        refused: found.refused,
        patch,
    })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn space(args: &Tune, trial: &Trial) -> Result<Space> {
    let settings = trial.sources.settings();
    let mut space = Space::new(settings, &trial.platform()?);
    // What the scenario or the command line sets stays set.
    space.dimensions.retain(|dimension| {
        trial.base.iter().all(|set| settings.find(&set.path).is_ok_and(|setting| setting.path != dimension.path))
    });
    if args.only.is_empty() {
        return Ok(space);
    }
    let mut wanted = Vec::new();
    for path in &args.only {
        let full = settings.find(path)?.path;
        if !space.dimensions.iter().any(|dimension| dimension.path == full) {
            let known: Vec<&str> = space.dimensions.iter().map(|dimension| dimension.path.as_str()).collect();
            return Err(CliError::bad_input(format!("`{path}` is not among what is searched"))
                .advice(format!("Searched are {}.", known.join(", "))));
        }
        wanted.push(full);
    }
    space.dimensions.retain(|dimension| wanted.contains(&dimension.path));
    Ok(space)
}

/// The shortest part that can show an autoscaler anything.
const SHORTEST: Millis = Millis::from_secs(600);

fn windows(trial: &Trial, hold_back: u8, faults: impl Fn(Millis) -> Vec<Fault>) -> Result<Windows> {
    let whole = trial.duration();
    let cut = Millis(whole.0 / 100 * (100 - i64::from(hold_back)));
    if cut < SHORTEST || whole - cut < SHORTEST {
        return Err(CliError::bad_input(format!(
            "{} seconds of traffic are too little to search one part and hold back the other",
            whole.0 / 1000
        ))
        .advice("Bring at least twenty minutes, better a week."));
    }
    let seed = trial.document.seed;
    let own = |from: Millis, to: Millis| {
        let inside = trial.document.faults.iter().filter(move |fault| fault.at >= from && fault.at < to);
        inside.map(|fault| Fault { at: fault.at - from, ..fault.clone() }).collect::<Vec<_>>()
    };
    let held_back = Window { from: cut, to: whole, faults: own(cut, whole), seed: seed.wrapping_add(1) };
    let mut with_faults = held_back.clone();
    with_faults.faults.extend(faults(held_back.length()));
    with_faults.seed = seed.wrapping_add(2);
    Ok(Windows {
        seen: Window { from: Millis::ZERO, to: cut, faults: own(Millis::ZERO, cut), seed },
        held_back,
        faults: with_faults,
    })
}

impl Report<'_> {
    fn json(&self) -> Value {
        let of = |overrides: &[Override], tried: &Tried| json!({"set": set_json(overrides), "scores": tried.json()});
        let today = &self.verdict.today;
        let recommendation = self.verdict.best.as_ref().map(|(overrides, tried)| {
            let mut value = of(overrides, tried);
            value["savesUsdMonth"] = json!(cents(today.held_back.usd_month - tried.held_back.usd_month));
            value
        });
        let frontier =
            self.frontier.iter().map(|(overrides, score)| json!({"set": set_json(overrides), "score": score}));
        let failed = self.verdict.failed.iter().map(|(set, reason)| json!({"set": set_json(set), "reason": reason}));
        json!({
            "today": today.json(),
            "limits": self.limits,
            "recommendation": recommendation,
            "frontier": frontier.collect::<Vec<_>>(),
            "failedOnHeldBack": failed.collect::<Vec<_>>(),
            "simulated": self.simulated,
            "refused": self.refused,
            "seed": self.trial.document.seed,
            "patch": self.patch,
        })
    }
}

fn cents(dollars: f64) -> f64 {
    (dollars * 100.0).round() / 100.0
}
