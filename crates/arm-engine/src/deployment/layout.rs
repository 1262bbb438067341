//! Template → steps: names, ids, copy loops, conditions and the graph of what waits for what.

use std::collections::BTreeMap;

use arm_model::id::ResourceId;
use serde_json::{Map, Value};

use crate::expression::{Context, copy_count, evaluate_value, referenced};
use crate::fault::Fault;
use crate::state::{Step, StepState};

/// Azure's limit for a template.
const MAX_STEPS: usize = 800;

pub(crate) struct LaidOut {
    pub steps: Vec<Step>,
}

struct Declared<'t> {
    symbol: Option<&'t str>,
    raw: &'t Value,
}

impl LaidOut {
    /// Lays a template out for a scope (an id of a subscription or group). `group_of` names the scope's own group.
    pub fn of(template: &Value, context: &Context<'_>, scope: &ResourceId) -> Result<LaidOut, Fault> {
        check_shape(template)?;
        let mut steps = Vec::new();
        let mut parents: Vec<String> = Vec::new();
        for declared in declared(&template["resources"])? {
            lay_out(&declared, context, scope, &mut parents, &mut steps)?;
        }
        if steps.len() > MAX_STEPS {
            return Err(Fault::invalid_template(format!(
                "Deployment template validation failed: 'The number of template resources limit exceeded. Limit: {MAX_STEPS} and actual: {}.'",
                steps.len()
            )));
        }
        check_duplicates(&steps)?;
        connect(&mut steps, context)?;
        check_cycles(&steps)?;
        Ok(LaidOut { steps })
    }
}

fn check_shape(template: &Value) -> Result<(), Fault> {
    let invalid =
        |message: &str| Err(Fault::invalid_template(format!("Deployment template parse failed: '{message}'.")));
    if !template.is_object() {
        return invalid("the template is not an object");
    }
    if template["$schema"]
        .as_str()
        .is_none_or(|schema| !schema.to_ascii_lowercase().contains("deploymenttemplate.json"))
    {
        return invalid("Required property '$schema' not found in JSON or not a deployment template");
    }
    if template["contentVersion"].as_str().is_none() {
        return invalid("Required property 'contentVersion' not found in JSON");
    }
    if template.get("resources").is_none() {
        return invalid("Required property 'resources' not found in JSON");
    }
    for key in ["parameters", "variables", "outputs"] {
        if template.get(key).is_some_and(|section| !section.is_object()) {
            return invalid(&format!("'{key}' is not an object"));
        }
    }
    Ok(())
}

fn declared(resources: &Value) -> Result<Vec<Declared<'_>>, Fault> {
    match resources {
        Value::Array(items) => Ok(items.iter().map(|raw| Declared { symbol: None, raw }).collect()),
        Value::Object(members) => {
            Ok(members.iter().map(|(symbol, raw)| Declared { symbol: Some(symbol), raw }).collect())
        }
        _ => Err(Fault::invalid_template(
            "Deployment template parse failed: ''resources' is neither an array nor an object'.",
        )),
    }
}

fn failed(what: &str, message: &str) -> Fault {
    Fault::invalid_template(format!(
        "Unable to process template language expressions for resource '{what}' at line '1' and column '1'. '{message}'"
    ))
}

fn text(raw: &Value, key: &str, context: &Context<'_>, what: &str) -> Result<Option<String>, Fault> {
    match raw.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match evaluate_value(value, context).map_err(|error| failed(what, &error.0))? {
            Value::String(text) => Ok(Some(text)),
            other => Err(failed(what, &format!("The property '{key}' must be a string, not {other}."))),
        },
    }
}

fn lay_out(
    declared: &Declared<'_>,
    context: &Context<'_>,
    scope: &ResourceId,
    parents: &mut Vec<String>,
    steps: &mut Vec<Step>,
) -> Result<(), Fault> {
    let raw = declared.raw;
    let what = declared.symbol.or_else(|| raw["name"].as_str()).unwrap_or("?").to_owned();
    if let Some(copy) = raw.get("copy").filter(|copy| copy.is_object()) {
        let name = copy["name"].as_str().unwrap_or_default();
        let count = copy_count(copy, context).map_err(|error| failed(&what, &error.0))?;
        for index in 0..count {
            lay_out_one(declared, &context.in_copy(name, index), scope, &what, parents, steps)?;
        }
        return Ok(());
    }
    lay_out_one(declared, context, scope, &what, parents, steps)
}

fn lay_out_one(
    declared: &Declared<'_>,
    context: &Context<'_>,
    scope: &ResourceId,
    what: &str,
    parents: &mut Vec<String>,
    steps: &mut Vec<Step>,
) -> Result<(), Fault> {
    let raw = declared.raw;
    let require = |key: &str| {
        text(raw, key, context, what)?.ok_or_else(|| {
            Fault::invalid_template(format!(
                "Deployment template parse failed: 'Required property '{key}' not found in resource '{what}'.'."
            ))
        })
    };
    let enabled = match raw.get("condition") {
        None => true,
        Some(condition) => match evaluate_value(condition, context).map_err(|error| failed(what, &error.0))? {
            Value::Bool(enabled) => enabled,
            other => return Err(failed(what, &format!("The condition must be a boolean, not {other}."))),
        },
    };
    let mut resource_type = require("type")?;
    let mut name = require("name")?;
    // Nested declarations of the classic form leave out what their parent says.
    if let Some(parent) = parents.last().filter(|_| {
        !resource_type.contains('/') || resource_type.split('/').next().is_some_and(|first| !first.contains('.'))
    }) {
        let (parent_type, parent_name) = parent.split_once('|').unwrap_or((parent, ""));
        resource_type = format!("{parent_type}/{resource_type}");
        name = format!("{parent_name}/{name}");
    }
    let id = place(raw, context, scope, what, &resource_type, &name)?;
    let existing = raw["existing"] == true;
    let mut raw = raw.clone();
    let nested = raw.as_object_mut().and_then(|members| members.remove("resources"));
    if let Some((parent_type, parent_name)) = parents.last().and_then(|parent| parent.split_once('|')) {
        let listed = raw["dependsOn"].as_array().cloned().unwrap_or_default();
        let parent = Value::String(format!("{parent_type}/{parent_name}"));
        raw["dependsOn"] = std::iter::once(parent).chain(listed).collect();
    }
    steps.push(Step {
        symbol: declared.symbol.map(str::to_owned),
        copies: context.copies.clone(),
        id: id.to_string(),
        resource_type: resource_type.clone(),
        api_version: if existing {
            text(&raw, "apiVersion", context, what)?.unwrap_or_default()
        } else {
            require("apiVersion")?
        },
        raw,
        depends_on: Vec::new(),
        state: if enabled && !existing { StepState::Waiting } else { StepState::Skipped },
        operation: None,
        operation_id: format!("{:016X}", steps.len() + 1),
        started: None,
        ended: None,
        status_code: None,
        error: None,
    });
    if let Some(Value::Array(children)) = nested.filter(|_| enabled) {
        parents.push(format!("{resource_type}|{name}"));
        for child in &children {
            lay_out(&Declared { symbol: None, raw: child }, context, scope, parents, steps)?;
        }
        parents.pop();
    }
    Ok(())
}

/// The id that a declaration deploys to.
fn place(
    raw: &Value,
    context: &Context<'_>,
    scope: &ResourceId,
    what: &str,
    resource_type: &str,
    name: &str,
) -> Result<ResourceId, Fault> {
    let subscription = text(raw, "subscriptionId", context, what)?
        .unwrap_or_else(|| scope.subscription().unwrap_or_default().to_owned());
    let group = text(raw, "resourceGroup", context, what)?.or_else(|| scope.resource_group().map(str::to_owned));
    let own = group.map_or_else(
        || ResourceId::of_subscription(&subscription),
        |group| ResourceId::of_group(&subscription, &group),
    );
    let names: Vec<&str> = name.split('/').collect();
    let segments = resource_type.split('/').count();
    if segments < 2 || segments != names.len() + 1 || names.iter().any(|name| !crate::providers::is_plain_name(name)) {
        return Err(Fault::invalid_template(format!(
            "Deployment template validation failed: 'The template resource '{name}' for type '{resource_type}' has incorrect segment lengths. A nested resource type must have identical number of segments as its resource name.'."
        )));
    }
    if resource_type.eq_ignore_ascii_case("Microsoft.Resources/resourceGroups") {
        return Ok(ResourceId::of_group(&subscription, name));
    }
    let base = match text(raw, "scope", context, what)? {
        None => own,
        Some(target) => {
            target_of(&target, &own).ok_or_else(|| failed(what, &format!("The scope '{target}' is not valid.")))?
        }
    };
    Ok(base.extended(resource_type, &names))
}

/// `/subscriptions/…` or `Namespace/type/name…` relative to the deployment.
fn target_of(target: &str, own: &ResourceId) -> Option<ResourceId> {
    if target.starts_with('/') {
        return ResourceId::parse(target).ok();
    }
    ResourceId::parse(&format!("{own}/providers/{target}")).ok()
}

fn check_duplicates(steps: &[Step]) -> Result<(), Fault> {
    let mut seen: BTreeMap<String, ()> = BTreeMap::new();
    for step in steps.iter().filter(|step| step.state == StepState::Waiting) {
        if seen.insert(step.id.to_ascii_lowercase(), ()).is_some() {
            return Err(Fault::invalid_template(format!(
                "Deployment template validation failed: 'The resource '{}' is defined multiple times in a template. Please see https://aka.ms/arm-syntax-resources for usage details.'.",
                step.id
            )));
        }
    }
    Ok(())
}

/// Which steps a dependency names: by symbol, by id, by name, or by copy loop.
pub(crate) fn named_by(steps: &[Step], target: &str) -> Vec<usize> {
    let (symbol, turn) = match target.strip_suffix(']').and_then(|text| text.split_once('[')) {
        Some((symbol, turn)) => (symbol, turn.parse::<i64>().ok()),
        None => (target, None),
    };
    let matches = |step: &Step| {
        let by_symbol =
            step.symbol.as_deref() == Some(symbol) && turn.is_none_or(|turn| step.copies.get("") == Some(&turn));
        let by_loop = step.raw["copy"]["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(target));
        let id = ResourceId::parse(&step.id).ok();
        let by_id = step.id.eq_ignore_ascii_case(target);
        let by_name = id.is_some_and(|id| {
            id.template_name().eq_ignore_ascii_case(target)
                || format!("{}/{}", id.resource_type(), id.template_name()).eq_ignore_ascii_case(target)
        });
        by_symbol || by_loop || by_id || by_name
    };
    steps.iter().enumerate().filter(|(_, step)| matches(step)).map(|(index, _)| index).collect()
}

fn connect(steps: &mut [Step], context: &Context<'_>) -> Result<(), Fault> {
    let mut edges = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let turn = Context {
            copies: step.copies.clone(),
            ..Context::new(context.parameters, context.variables, context.scope)
        };
        let mut found: Vec<usize> = Vec::new();
        for listed in step.raw["dependsOn"].as_array().into_iter().flatten() {
            let target = match evaluate_value(listed, &turn).map_err(|error| failed(&step.id, &error.0))? {
                Value::String(target) => target,
                other => return Err(failed(&step.id, &format!("dependsOn must hold strings, not {other}."))),
            };
            let named = named_by(steps, &target);
            if named.is_empty() {
                return Err(Fault::invalid_template(format!(
                    "Deployment template validation failed: 'The resource '{target}' is not defined in the template. Please see https://aka.ms/arm-syntax for usage details.'."
                )));
            }
            found.extend(named);
        }
        let mut targets = Vec::new();
        referenced(&outer_part(&step.raw), &turn, &mut targets);
        found.extend(targets.iter().flat_map(|target| named_by(steps, target)));
        found.retain(|other| *other != index);
        found.sort_unstable();
        found.dedup();
        edges.push(found);
    }
    for (step, edges) in steps.iter_mut().zip(edges) {
        step.depends_on = edges;
    }
    Ok(())
}

/// A declaration without what a nested deployment of inner scope evaluates itself.
pub(crate) fn outer_part(raw: &Value) -> Value {
    let mut outer = raw.clone();
    if is_inner(raw)
        && let Some(properties) = outer.get_mut("properties").and_then(Value::as_object_mut)
    {
        properties.remove("template");
    }
    outer
}

pub(crate) fn is_inner(raw: &Value) -> bool {
    raw["properties"]["expressionEvaluationOptions"]["scope"]
        .as_str()
        .is_some_and(|scope| scope.eq_ignore_ascii_case("inner"))
}

fn check_cycles(steps: &[Step]) -> Result<(), Fault> {
    let mut waiting: Vec<usize> = (0..steps.len()).collect();
    loop {
        let before = waiting.len();
        let still = waiting.clone();
        waiting.retain(|index| steps[*index].depends_on.iter().any(|other| still.contains(other)));
        if waiting.is_empty() {
            return Ok(());
        }
        if waiting.len() == before {
            let names: Vec<&str> = waiting.iter().map(|index| steps[*index].id.as_str()).collect();
            return Err(Fault::invalid_template(format!(
                "Deployment template validation failed: 'Circular dependency detected on resource: '{}'. Please see https://aka.ms/arm-syntax-resources for usage details.'.",
                names.join("', '")
            )));
        }
    }
}

/// The template's variables, or none.
pub(crate) fn variables_of(template: &Value) -> Map<String, Value> {
    template["variables"].as_object().cloned().unwrap_or_default()
}
