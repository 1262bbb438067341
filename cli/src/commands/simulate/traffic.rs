//! Which load on which platform: the arguments that `simulate`, `tune` and `gate` share, and what is read for them.

use std::path::{Path, PathBuf};

use clap::Args;
use simulate::load::LoadDocument;
use simulate::scenario::Document;
use simulate::{Scenario, ScenarioError};

use crate::error::{CliError, Result};
use crate::planned::{Override, Sources};
use crate::project::Project;
use crate::tune::trial::Trial;

#[derive(Args, Clone, Debug)]
pub struct Traffic {
    /// Scenario, YAML or JSON; without it, a day's rise and fall on the repository's own platform.
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Load from this CSV or Prometheus answer, instead of the scenario's.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// The trace's column of values.
    #[arg(long, requires = "trace")]
    pub column: Option<String>,
    /// Multiplies the trace so that its highest rate is this many requests per second.
    #[arg(long, requires = "trace", value_name = "RATE")]
    pub peak: Option<f64>,
    /// How long, e.g. 6h or 30d, instead of the scenario's.
    #[arg(long)]
    pub duration: Option<String>,
    /// Another setting, e.g. backend.hpa.cpu=60; repeatable, over the scenario's.
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// The first seed, instead of the scenario's.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Which stack.<ENV>.yaml is planned; the scenario's, or production.
    #[arg(long)]
    pub env: Option<String>,
}

/// What the arguments name, read; the traces and the platform are not.
pub struct Source {
    /// For messages.
    pub name: String,
    pub document: Document,
    pub environment: String,
    /// The scenario's folder: its paths are relative to it.
    folder: PathBuf,
    /// The scenario's and the command line's, the latter last.
    overrides: Vec<Override>,
}

/// A day on the seed's platform, for those who bring nothing.
const EXAMPLE: &str =
    "{duration: 1d, load: {shape: {diurnal: {low: 20, high: 200}}}, objective: {p99: 300ms, errors: 0.1%}}";

impl Traffic {
    /// # Errors
    /// When the scenario cannot be read or has something that is unknown or mistyped; with its file and line.
    pub fn read(&self) -> Result<Source> {
        let (name, text) = match &self.scenario {
            Some(path) => (path.display().to_string(), read_file(path)?),
            None => ("a day on the platform".to_owned(), EXAMPLE.to_owned()),
        };
        let mut document = parse(&name, &text)?;
        if let Some(path) = &self.trace {
            document.load = LoadDocument {
                trace: Some(path.display().to_string()),
                column: self.column.clone(),
                peak: self.peak,
                ..LoadDocument::default()
            };
            if self.scenario.is_none() {
                document.duration = None;
            }
        }
        if let Some(duration) = &self.duration {
            let text = format!("{{duration: {duration}}}");
            document.duration = parse("--duration", &text)?.duration;
        }
        document.seed = self.seed.unwrap_or(document.seed);
        let of_file = document.set.iter().map(|(path, value)| Override { path: path.clone(), value: value.clone() });
        let mut overrides: Vec<Override> = of_file.collect();
        for text in &self.set {
            overrides.push(Override::parse(text)?);
        }
        let environment = self.env.clone().or_else(|| document.environment.clone());
        Ok(Source {
            name,
            environment: environment.unwrap_or_else(|| "production".to_owned()),
            folder: self.scenario.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_owned(),
            overrides,
            document,
        })
    }
}

impl Source {
    fn project(&self) -> Result<Project> {
        match &self.document.project {
            Some(path) => Ok(Project { root: self.folder.join(path), here: None }),
            None => Project::find(),
        }
    }

    /// The platform of the scenario's project, or of the repository, under the load.
    ///
    /// # Errors
    /// When the stacks or a trace cannot be read, or a setting is refused.
    pub fn trial(&self) -> Result<Trial> {
        self.trial_of(&self.project()?)
    }

    /// The same load on another copy of the platform.
    ///
    /// # Errors
    /// As [`Source::trial`].
    pub fn trial_of(&self, project: &Project) -> Result<Trial> {
        let sources = Sources::read(project, &self.environment)?;
        let platform = sources.plan(&self.overrides)?.platform;
        let read = |path: &str| read_trace(path, &self.folder);
        let load = self.document.load.load(self.document.duration, &platform, &read);
        Ok(Trial {
            sources,
            root: project.root.clone(),
            document: self.document.clone(),
            load: load.map_err(|error| self.wrong(&error))?,
            base: self.overrides.clone(),
        })
    }

    /// Everything that one simulation needs.
    ///
    /// # Errors
    /// As [`Source::trial`], and when the scenario makes no sense for the platform.
    pub fn scenario(&self) -> Result<Scenario> {
        let trial = self.trial()?;
        let platform = trial.platform()?;
        Scenario::new(&self.document, platform, trial.load).map_err(|error| self.wrong(&error))
    }

    fn wrong(&self, error: &ScenarioError) -> CliError {
        CliError::bad_input(format!("{}: {error}", self.name)).advice("Correct the scenario.")
    }
}

fn parse(name: &str, text: &str) -> Result<Document> {
    stack::config::parse(Path::new(name), text.trim_start_matches('\u{feff}'))
        .map_err(|error| CliError::bad_input(error.to_string()).advice("docs/guides/simulate.md lists every field."))
}

fn read_file(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| CliError::bad_input(format!("{} cannot be read: {error}", path.display())))
}

/// Relative to the scenario, or else to where the command runs.
fn read_trace(path: &str, folder: &Path) -> std::result::Result<String, String> {
    let beside = folder.join(path);
    let found: PathBuf = if beside.exists() { beside } else { PathBuf::from(path) };
    std::fs::read(&found)
        .map_err(|error| format!("cannot be read: {error}"))
        .and_then(|bytes| String::from_utf8(bytes).map_err(|error| format!("is not UTF-8 text: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let error = parse("x.yaml", text).unwrap_err();
        assert_eq!(error.exit, crate::error::Exit::BadInput);
        for words in expected {
            assert!(error.message.contains(words), "{text} lacks {words}: {}", error.message);
        }
    }

    #[test]
    fn unknown_and_mistyped_fields_are_named_with_their_line() {
        check("duration: 1h\nsede: 1\n", &["x.yaml", "2", "unknown key `sede`; did you mean `seed`?"]);
        check(
            "duration: 1h\nload:\n  shape: {constant: 4}\n  tarce: x\n",
            &["4", "unknown key `tarce`; did you mean `trace`?"],
        );
        check("duration: soon\n", &["1", "`soon` is not a duration"]);
        check("work:\n  backend: {cpu: 12}\n", &["2", "`12` is not a duration"]);
        check("faults:\n- {at: 1h, kind: earthquake}\n", &["2", "unknown value `earthquake`"]);
        check("{\"seed\": \"one\"}", &["1", "seed"]);
    }

    #[test]
    fn the_documented_scenario_is_read() {
        let text = "
duration: 30d
seed: 1
load: {trace: traces/shop.csv, column: requests_per_second}
work: {backend: {cpu: 12ms, memory: 96Mi, concurrency: 16, startup: 4s, database: {connections: 5, time: 3ms}}, frontend: {cpu: 1ms}}
cloud: {nodeBoot: {median: 140s, p95: 300s}, metricsDelay: 15s}
faults: [{at: 3d, kind: node, pool: backend}]
objective: {p99: 300ms, errors: 0.1%}
set: {backend.hpa.cpu: 60, base.nodePools.backend.max: 4}
";
        let document = parse("x.yaml", text).unwrap();
        assert_eq!(document.duration, Some(units::Millis::from_secs(30 * 86_400)));
        assert_eq!(document.work["backend"].database.as_ref().unwrap().connections, Some(5));
        assert_eq!(document.objective.errors, Some(0.001));
        assert_eq!(document.set.len(), 2);
    }
}
