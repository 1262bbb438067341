//! From a request to a scenario. What makes no sense is refused here, before a job exists.

use arm_model::Template;
use backend_api::simulations::{
    DEFAULT_SEEDS, MAX_DAYS, MAX_SEEDS, MAX_TITLE_CHARACTERS, MAX_TRACE_BYTES, NewSimulation,
};
use platform::Platform;
use serde::Deserialize;
use serde_json::Value;
use simulate::scenario::Document;
use simulate::{Scenario, ScenarioError};
use units::Millis;

/// The platform as the last `marea up` recorded it.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployed {
    pub platform: Platform,
}

#[derive(Deserialize)]
struct Plan {
    templates: Vec<Template>,
    manifests: Vec<Value>,
}

impl Deployed {
    /// From the record's `plan.json`.
    ///
    /// # Errors
    /// When it is of another version.
    pub fn parse(text: &str) -> Result<Deployed, serde_json::Error> {
        let plan: Plan = serde_json::from_str(text)?;
        let templates: Vec<&Template> = plan.templates.iter().collect();
        let manifests: Vec<&Value> = plan.manifests.iter().collect();
        Ok(Deployed { platform: Platform::new(&templates, &manifests) })
    }
}

/// Why a request is no simulation, with the field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(pub String);

impl From<ScenarioError> for Invalid {
    fn from(error: ScenarioError) -> Invalid {
        Invalid(format!("scenario.{error}"))
    }
}

fn invalid(text: impl Into<String>) -> Invalid {
    Invalid(text.into())
}

/// The scenario that a request is about.
///
/// # Errors
/// With the field that cannot be used.
pub fn check(request: &NewSimulation, deployed: &Deployed) -> Result<Scenario, Invalid> {
    if request.title.chars().count() > MAX_TITLE_CHARACTERS {
        return Err(invalid(format!("title: at most {MAX_TITLE_CHARACTERS} characters are allowed")));
    }
    if !(1..=MAX_SEEDS).contains(&request.seeds.unwrap_or(DEFAULT_SEEDS)) {
        return Err(invalid(format!("seeds: must be between 1 and {MAX_SEEDS}")));
    }
    scenario(&request.scenario, request.trace.as_deref(), deployed)
}

/// # Errors
/// As [`check`].
pub fn scenario(document: &Value, trace: Option<&str>, deployed: &Deployed) -> Result<Scenario, Invalid> {
    for (field, instead) in [
        ("set", "`marea simulate --set` tries other settings"),
        ("project", "a job is about the deployed platform"),
        ("environment", "a job is about the deployed platform"),
    ] {
        if document.get(field).is_some() {
            return Err(invalid(format!("scenario.{field}: is not for a job; {instead}")));
        }
    }
    if trace.is_some_and(|trace| trace.len() > MAX_TRACE_BYTES) {
        return Err(invalid(format!("trace: longer than {MAX_TRACE_BYTES} bytes; keep fewer rows of it")));
    }
    let document = Document::deserialize(document).map_err(|error| invalid(format!("scenario: {error}")))?;
    // The name of a trace means nothing here: there is one text, or none.
    let read = |name: &str| {
        trace.map(str::to_owned).ok_or_else(|| format!("`{name}` came without its text; send it in `trace`"))
    };
    let load = document.load.load(document.duration, &deployed.platform, &read)?;
    let scenario = Scenario::new(&document, deployed.platform.clone(), load)?;
    if scenario.duration > Millis::from_secs(i64::from(MAX_DAYS) * 86_400) {
        return Err(invalid(format!("scenario.duration: at most {MAX_DAYS} days are simulated as a job")));
    }
    Ok(scenario)
}
