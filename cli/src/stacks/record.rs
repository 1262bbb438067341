//! What the cluster keeps about the stacks for the console: ConfigMap `platform/marea-stacks` (`backend_api::stacks`).

use backend_api::stacks::{
    CONFIG_MAP_KEY, CONFIG_MAP_NAME, CONFIG_MAP_NAMESPACE, PLAN_KEY, PREVIEW_KEY, Preview, StackChange,
    StackChangeKind, StackPreview, StackProperty, StackRecord,
};
use infrastructure_k8s_base::Base;
use serde_json::{Map, Value, json};
use stack::cluster::{Cluster, Manifest};
use stack::{Change, ChangeKind, PropertyChange, Stack};

use super::{Declared, Known, cost, db};
use crate::args::StackName;
use crate::error::{CliError, Result};
use crate::session::Session;

/// Of one stack; who wants more runs `marea preview`.
const CHANGES_AT_MOST: usize = 60;
const PROPERTIES_AT_MOST: usize = 12;
const VALUE_CHARACTERS: usize = 120;
/// A ConfigMap holds 1 MiB; beyond this the plan is left out, and the console then simulates nothing.
const PLAN_BYTES: usize = 700 * 1024;

/// After an `up`. The preview before it says nothing any more and goes.
///
/// # Errors
/// When the cluster refuses.
pub async fn write(cluster: &Cluster, records: &[StackRecord], plan: &Value) -> Result<()> {
    let mut data = Map::new();
    data.insert(CONFIG_MAP_KEY.to_owned(), json!(text(records)?));
    let plan = plan.to_string();
    if plan.len() <= PLAN_BYTES {
        data.insert(PLAN_KEY.to_owned(), json!(plan));
    }
    apply(cluster, data).await
}

/// Beside what the last `up` recorded.
///
/// # Errors
/// When nothing was deployed yet, or the cluster refuses.
pub async fn publish(session: &Session, known: &Known, preview: &Preview) -> Result<()> {
    let base = known.base_outputs().ok_or_else(|| {
        CliError::failed("the preview cannot be published: there is no cluster yet whose console could show it")
            .advice("Run `marea up` first, or `marea preview` without --publish.")
    })?;
    let cluster = session.cluster(&base.cluster_id).await?;
    let path = format!("/api/v1/namespaces/{CONFIG_MAP_NAMESPACE}/configmaps/{CONFIG_MAP_NAME}");
    let known = cluster.get(&path).await?.unwrap_or_default();
    // One manager applies all keys: what is left out is removed.
    let mut data = known["data"].as_object().cloned().unwrap_or_default();
    data.insert(PREVIEW_KEY.to_owned(), json!(text(preview)?));
    apply(&cluster, data).await
}

fn text<T: serde::Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| CliError::failed(format!("the record cannot be written: {error}")))
}

async fn apply(cluster: &Cluster, data: Map<String, Value>) -> Result<()> {
    let labels = json!({"app.kubernetes.io/part-of": "marea"});
    let metadata = json!({"name": CONFIG_MAP_NAME, "namespace": CONFIG_MAP_NAMESPACE, "labels": labels});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data});
    cluster.apply(&Manifest::generated(map)?, false).await?;
    Ok(())
}

/// What is deployed, for simulations: the ARM stacks' templates and the manifests without their Secrets.
pub fn plan(session: &Session, declared: &Declared, known: &Known, manifests: &[Manifest]) -> Result<Value> {
    // As before the first `up`: an update leaves out the sizes that the autoscaler rules.
    let inputs = infrastructure_k8s_base::Inputs {
        subscription_id: session.arm.subscription_id().to_owned(),
        cluster_exists: false,
    };
    let db = db::template(session, &declared.db, &known.need_base()?);
    let told: Vec<&Value> = manifests.iter().map(|manifest| &manifest.value).filter(|object| is_told(object)).collect();
    Ok(json!({"templates": [Base::template(&declared.base, &inputs), db], "manifests": told}))
}

/// Secrets are nobody's business, and neither definitions nor dashboards say anything about the platform's shape.
fn is_told(object: &Value) -> bool {
    let kind = object["kind"].as_str().unwrap_or_default();
    let monitoring = object["metadata"]["namespace"] == "monitoring";
    match kind {
        "Secret" | "CustomResourceDefinition" | "PrometheusRule" => false,
        "ConfigMap" => !monitoring,
        _ => true,
    }
}

/// A stack's record; `changes` is what this `up` changed in it.
pub fn of_stack(session: &Session, stack: StackName, resources: usize, changes: &[Change]) -> StackRecord {
    let (changes, changes_left_out) = told(changes);
    StackRecord {
        name: stack.name().to_owned(),
        env: session.environment.clone(),
        commit: session.commit.clone(),
        updated_at: Some(jiff::Timestamp::now().to_string()),
        resources: resources.try_into().unwrap_or(u32::MAX),
        changes,
        changes_left_out,
    }
}

pub fn preview(session: &Session, found: &[(StackName, Vec<Change>)], cost: Option<&Result<cost::Change>>) -> Preview {
    let stacks = found.iter().map(|(stack, changes)| {
        let (changes, changes_left_out) = told(changes);
        StackPreview { stack: stack.name().to_owned(), changes, changes_left_out }
    });
    Preview {
        at: jiff::Timestamp::now().to_string(),
        env: session.environment.clone(),
        commit: session.commit.clone(),
        stacks: stacks.collect(),
        monthly_cost: cost.and_then(|cost| cost.as_ref().ok()).map(cost::Change::text),
    }
}

fn told(changes: &[Change]) -> (Vec<StackChange>, u32) {
    let shown = changes.iter().take(CHANGES_AT_MOST).map(|change| StackChange {
        kind: match change.kind {
            ChangeKind::Create => StackChangeKind::Create,
            ChangeKind::Modify => StackChangeKind::Modify,
            ChangeKind::Delete => StackChangeKind::Delete,
            ChangeKind::Detach => StackChangeKind::Detach,
        },
        target: change.target.clone(),
        properties: change.properties.iter().take(PROPERTIES_AT_MOST).map(property).collect(),
    });
    (shown.collect(), changes.len().saturating_sub(CHANGES_AT_MOST).try_into().unwrap_or(u32::MAX))
}

fn property(change: &PropertyChange) -> StackProperty {
    let short = |value: &Option<Value>| {
        let text = match value.as_ref()? {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let cut = text.chars().count() > VALUE_CHARACTERS;
        Some(if cut { text.chars().take(VALUE_CHARACTERS).collect::<String>() + "…" } else { text })
    };
    StackProperty { path: change.path.clone(), before: short(&change.before), after: short(&change.after) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_and_values_are_cut_and_say_so() {
        let change = |number: usize| Change {
            kind: ChangeKind::Modify,
            target: format!("ConfigMap platform/{number}"),
            properties: vec![PropertyChange {
                path: "data.x".into(),
                before: None,
                after: Some(json!("y".repeat(500))),
            }],
        };
        let changes: Vec<Change> = (0..CHANGES_AT_MOST + 3).map(change).collect();
        let (shown, left_out) = told(&changes);
        assert_eq!((shown.len(), left_out), (CHANGES_AT_MOST, 3));
        let property = &shown[0].properties[0];
        assert_eq!(property.before, None);
        assert_eq!(property.after.as_ref().unwrap().chars().count(), VALUE_CHARACTERS + 1);
        assert_eq!(told(&changes[..1]).1, 0);
    }

    #[test]
    fn secrets_and_what_says_nothing_of_the_shape_are_left_out() {
        let check = |kind: &str, namespace: &str, expected: bool| {
            let object = json!({"kind": kind, "metadata": {"namespace": namespace}});
            assert_eq!(is_told(&object), expected, "{kind} {namespace}");
        };
        check("Secret", "platform", false);
        check("ConfigMap", "platform", true);
        check("ConfigMap", "monitoring", false);
        check("Deployment", "monitoring", true);
        check("CustomResourceDefinition", "", false);
    }
}
