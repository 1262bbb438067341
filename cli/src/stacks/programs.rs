//! What of this machine a local platform needs, asked before anything starts: a pod that waits for a program that is not
//! there would be noticed only when its rollout runs out of patience.

use std::collections::BTreeSet;

use kubelet::images::Catalogue;
use local_cloud::postgres::Programs;
use serde_json::Value;

use super::deploy::Deploy;
use crate::args::StackName;
use crate::cloud;
use crate::error::{CliError, Exit, Result};
use crate::project::Project;

/// # Errors
/// With the name of each missing program, what needs it, and Debian's packages.
pub fn check(project: &Project, selection: &[StackName], deploy: &Deploy) -> Result<()> {
    let mut missing = BTreeSet::new();
    if selection.contains(&StackName::Db) && Programs::find().is_err() {
        missing.insert(("postgres".to_owned(), "the stack `db`".to_owned(), "postgresql-15".to_owned()));
    }
    if selection.contains(&StackName::Deploy) {
        let own = project.root.join("local/images.yaml");
        let catalogue = Catalogue::load(&own, &cloud::data_dir().join("images.yaml"))
            .map_err(|error| CliError::bad_input(error.to_string()).advice("Correct the file."))?;
        let path = std::env::var("PATH").unwrap_or_default();
        for image in deploy.images() {
            let entry = catalogue.find(&image).filter(|entry| !entry.optional);
            if let Some(requirement) = entry.and_then(|entry| entry.missing(&path)) {
                missing.insert((
                    requirement.program.clone(),
                    format!("the image {image}"),
                    requirement.package.clone(),
                ));
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let lines: String = missing
        .iter()
        .map(|(program, needs, _)| format!("\n  {program} is not installed, but {needs} needs it"))
        .collect();
    let packages: BTreeSet<&str> = missing.iter().map(|(_, _, package)| package.as_str()).collect();
    let packages: Vec<&str> = packages.into_iter().collect();
    Err(CliError::new(Exit::Failed, format!("programs of this machine are missing:{lines}")).advice(format!(
        "As root: apt-get install --no-install-recommends {}. `scripts/up` does it without starting Debian's services.",
        packages.join(" ")
    )))
}

/// Every `image` of an object, at whatever depth: containers, and the specs that operators turn into containers.
pub(super) fn images_in(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                match inner {
                    Value::String(image) if name == "image" => {
                        found.insert(image.clone());
                    }
                    _ => images_in(inner, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| images_in(item, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn images_are_found_wherever_an_object_names_one() {
        let mut found = BTreeSet::new();
        let deployment = json!({"spec": {"template": {"spec": {"containers": [{"image": "a:1"}], "initContainers": [{"image": "b"}]}}}});
        images_in(&deployment, &mut found);
        images_in(&json!({"kind": "Prometheus", "spec": {"image": "c"}}), &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a:1", "b", "c"]);
    }
}
