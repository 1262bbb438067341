//! One platform under one load: what is simulated again and again with other settings.

use platform::Platform;
use simulate::load::Load;
use simulate::scenario::{Document, Fault, FaultKind, Objective};
use simulate::{Options, Scenario};
use units::Millis;

use super::search::Score;
use super::slo::Slo;
use crate::error::{CliError, Result};
use crate::planned::{Override, Sources};

/// Sources, scenario and load, read once.
pub struct Trial {
    pub sources: Sources,
    /// The repository's.
    pub root: std::path::PathBuf,
    pub document: Document,
    pub load: Load,
    /// Settings that hold in every simulation, before a candidate's.
    pub base: Vec<Override>,
}

/// A part of the load, with what goes wrong in it.
#[derive(Clone, Debug)]
pub struct Window {
    pub from: Millis,
    pub to: Millis,
    pub faults: Vec<Fault>,
    pub seed: u64,
}

impl Window {
    pub fn length(&self) -> Millis {
        self.to - self.from
    }
}

impl Trial {
    /// # Errors
    /// When the platform refuses the settings, or something in them cannot be simulated or priced.
    pub fn score(&self, changes: &[Override], window: &Window) -> Result<Score> {
        let all: Vec<Override> = self.base.iter().chain(changes).cloned().collect();
        self.score_of(self.sources.plan(&all)?.platform, window)
    }

    /// As long as the scenario says, else as the trace, else a day.
    pub fn duration(&self) -> Millis {
        self.document.duration.or_else(|| self.load.length()).unwrap_or(Millis::from_secs(86_400))
    }

    /// The platform as the files and [`Trial::base`] have it.
    pub fn platform(&self) -> Result<Platform> {
        Ok(self.sources.plan(&self.base)?.platform)
    }

    fn score_of(&self, platform: Platform, window: &Window) -> Result<Score> {
        let document = Document {
            duration: Some(window.length()),
            seed: window.seed,
            faults: window.faults.clone(),
            ..self.document.clone()
        };
        let load = self.load.between(window.from, window.to);
        let refused = |problem: String| CliError::bad_input(problem);
        let scenario = Scenario::new(&document, platform, load).map_err(|error| refused(error.to_string()))?;
        let outcome = simulate::run_with(&scenario, Options::summary()).map_err(|error| refused(error.to_string()))?;
        let usd_month = outcome.usd_month.map_err(|problem| refused(format!("the price is not known: {problem}")))?;
        let milliseconds =
            |of: fn(&simulate::Latency) -> f64| outcome.latency.as_ref().map_or(0.0, |latency| of(latency) * 1000.0);
        Ok(Score {
            usd_month,
            p50_ms: milliseconds(|latency| latency.p50),
            p95_ms: milliseconds(|latency| latency.p95),
            p99_ms: milliseconds(|latency| latency.p99),
            errors: if outcome.requests > 0.0 { outcome.failed / outcome.requests } else { 0.0 },
            slo_missed_minutes: outcome.slo_missed_minutes as f64,
        })
    }
}

impl Slo {
    /// What a minute must keep, for the simulation to count those that do not.
    pub fn objective(&self, fallback: Objective) -> Objective {
        let seconds = |bound: Option<f64>| bound.map(|milliseconds| milliseconds / 1000.0);
        Objective {
            p50: seconds(self.p50).or(fallback.p50),
            p95: seconds(self.p95).or(fallback.p95),
            p99: seconds(self.p99).or(fallback.p99),
            errors: self.errors.or(fallback.errors),
        }
    }
}

/// What a recommendation must survive as well as today's settings do: a node of every autoscaled pool is lost, a pod of every
/// autoscaled workload ends, and twice the load comes for ten minutes. Spread over the window.
pub fn faults(platform: &Platform, length: Millis) -> Vec<Fault> {
    let pools = platform
        .pools
        .iter()
        .filter(|pool| !pool.system)
        .map(|pool| fault(FaultKind::Node, |f| f.pool = Some(pool.name.clone())));
    let targets = platform.hpas.iter().map(|hpa| fault(FaultKind::Pod, |f| f.workload = Some(hpa.target.clone())));
    let surge = fault(FaultKind::Surge, |f| {
        f.lasts = Some(Millis::from_secs(600).min(Millis(length.0 / 10)));
        f.factor = Some(2.0);
    });
    let mut all: Vec<Fault> = pools.chain(targets).chain([surge]).collect();
    let count = all.len() as i64;
    for (index, fault) in all.iter_mut().enumerate() {
        fault.at = Millis(length.0 * (index as i64 + 1) / (count + 1));
    }
    all
}

fn fault(kind: FaultKind, fill: impl FnOnce(&mut Fault)) -> Fault {
    let mut fault =
        Fault { at: Millis::ZERO, kind, lasts: None, pool: None, workload: None, count: None, factor: None };
    fill(&mut fault);
    fault
}
