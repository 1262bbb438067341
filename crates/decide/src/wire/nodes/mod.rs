//! `marea decide nodes`: the timeline of the node pools.

mod amounts;
mod input;
mod world;

use serde_json::Value;

use super::input::{InputError, strict};
use input::{Input, Plan};

/// Answers one JSON document by one line per change of a group, and one for the end.
///
/// # Errors
/// Where the text is not JSON, a field is unknown or mistyped, or the document contradicts itself.
pub fn run_timeline(text: &str) -> Result<Vec<String>, InputError> {
    let document: Value =
        serde_json::from_str(text).map_err(|error| InputError::new("", format!("not a JSON document: {error}")))?;
    run(&document)
}

/// The same for a document that is parsed already, as `input::documents` hands it out.
///
/// # Errors
/// As [`run_timeline`].
pub fn run(document: &Value) -> Result<Vec<String>, InputError> {
    let plan = Plan::new(strict::<Input>(document)?)?;
    Ok(world::play(plan).iter().map(Value::to_string).collect())
}

#[cfg(test)]
mod tests;
