//! Settings by dotted path: `base.nodePools.backend.max`, or in short `backend.hpa.cpu`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stack::cluster::{Manifest, ObjectKey};

use super::paths;
use crate::args::StackName;
use crate::error::{CliError, Result};

/// One value in the place of the files' own.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    pub path: String,
    pub value: Value,
}

impl Override {
    /// Reads `path=value`; the value is YAML, so that `60` is a number and `250m` a text.
    ///
    /// # Errors
    /// When there is no `=`, or the value is not YAML.
    pub fn parse(text: &str) -> Result<Override> {
        let fail = |problem: &str| {
            CliError::bad_input(format!("`{text}`: {problem}")).advice("Write it as backend.hpa.cpu=60.")
        };
        let (path, value) = text.split_once('=').ok_or_else(|| fail("expected path=value"))?;
        let value = serde_saphyr::from_str::<Value>(value).map_err(|_| fail("the value is not YAML"))?;
        Ok(Override { path: path.trim().to_owned(), value })
    }
}

/// Where a setting is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// In `config` of a stack's file; the keys from there.
    Config { stack: StackName, keys: Vec<String> },
    /// In a manifest, at a JSON pointer.
    Manifest { object: ObjectKey, pointer: String },
}

/// One thing that can be set.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The full path.
    pub path: String,
    pub place: Place,
    /// `None` where the files leave it to the default.
    pub value: Option<Value>,
}

/// Everything that can be set.
pub struct Settings {
    all: Vec<Setting>,
    /// Paths of maps that admit keys which they do not have yet.
    open: BTreeSet<String>,
}

impl Settings {
    pub(super) fn new(configs: &[Value; 3], manifests: &[Manifest]) -> Settings {
        let mut settings = Settings { all: Vec::new(), open: BTreeSet::new() };
        for (stack, config) in StackName::ALL.into_iter().zip(configs) {
            let found = paths::of(&paths::schema(stack), config);
            settings.open.extend(found.open.iter().map(|keys| path_of(stack, keys)));
            settings.all.extend(found.leaves.into_iter().map(|keys| {
                let value = keys.iter().try_fold(config, |value, key| value.get(key)).cloned();
                Setting { path: path_of(stack, &keys), place: Place::Config { stack, keys }, value }
            }));
        }
        settings.all.extend(manifests.iter().flat_map(resources));
        settings
    }

    pub fn all(&self) -> &[Setting] {
        &self.all
    }

    /// The setting of a path or of its short form.
    ///
    /// # Errors
    /// When there is none; the error names the nearest.
    pub fn find(&self, path: &str) -> Result<Setting> {
        let full = self.full(path);
        if let Some(setting) = self.all.iter().find(|setting| setting.path == full) {
            return Ok(setting.clone());
        }
        let parent = full.rsplit_once('.').filter(|(parent, key)| !key.is_empty() && self.open.contains(*parent));
        if let Some((stack, keys)) = parent.and_then(|_| keys_of(&full)) {
            return Ok(Setting { path: full, place: Place::Config { stack, keys }, value: None });
        }
        Err(CliError::bad_input(format!("`{path}` is not a setting{}", self.nearest(&full)))
            .advice("Paths are those of the stacks' files, e.g. base.nodePools.backend.max, deploy.backend.replicas.max, or backend.hpa.cpu in short."))
    }

    /// Short forms begin with a workload, `pools` or `database`.
    fn full(&self, path: &str) -> String {
        for (short, full) in [("pools.", "base.nodePools."), ("nodePools.", "base.nodePools."), ("database.", "db.")] {
            if let Some(rest) = path.strip_prefix(short) {
                return format!("{full}{rest}");
            }
        }
        let Some((workload, rest)) = path.split_once('.') else { return path.to_owned() };
        let configured = format!("deploy.{workload}.");
        if self.all.iter().any(|setting| setting.path.starts_with(&format!("{configured}replicas."))) {
            match rest.strip_prefix("hpa.") {
                Some(metric @ ("cpu" | "memory")) => return format!("{configured}replicas.targets.{metric}"),
                Some(rest) => return format!("{configured}replicas.{rest}"),
                None if !rest.starts_with("requests.") && !rest.starts_with("limits.") => {
                    return format!("{configured}{rest}");
                }
                None => {}
            }
        }
        path.to_owned()
    }

    fn nearest(&self, path: &str) -> String {
        let known: Vec<&str> = self.all.iter().map(|setting| setting.path.as_str()).collect();
        let suggestion = stack::config::suggestion(path, &known);
        if suggestion.starts_with("; did you mean") {
            return suggestion;
        }
        // Too far from any: what there is below the longest part that exists.
        let mut prefix = path;
        while let Some((shorter, _)) = prefix.rsplit_once('.') {
            let below: Vec<&str> =
                known.iter().copied().filter(|known| known.starts_with(&format!("{shorter}."))).collect();
            if !below.is_empty() {
                let names = below.iter().take(8).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                let more = if below.len() > 8 { " and others" } else { "" };
                return format!("; there are {names}{more}");
            }
            prefix = shorter;
        }
        "; paths begin with `base.`, `db.`, `deploy.`, or a workload's name".to_owned()
    }
}

fn path_of(stack: StackName, keys: &[String]) -> String {
    format!("{}.{}", stack.name(), keys.join("."))
}

fn keys_of(path: &str) -> Option<(StackName, Vec<String>)> {
    let (name, keys) = path.split_once('.')?;
    let stack = StackName::ALL.into_iter().find(|stack| stack.name() == name)?;
    Some((stack, keys.split('.').map(str::to_owned).collect()))
}

/// `backend.requests.cpu` and its like, of a workload's first container. They are the manifests' own, no configuration has them.
fn resources(manifest: &Manifest) -> Vec<Setting> {
    if !matches!(manifest.kind.kind, "Deployment" | "StatefulSet" | "DaemonSet") {
        return Vec::new();
    }
    let pairs = ["requests", "limits"].into_iter().flat_map(|section| ["cpu", "memory"].map(|name| (section, name)));
    pairs
        .map(|(section, resource)| {
            let pointer = format!("/spec/template/spec/containers/0/resources/{section}/{resource}");
            Setting {
                path: format!("{}.{section}.{resource}", manifest.name()),
                value: manifest.value.pointer(&pointer).cloned(),
                place: Place::Manifest { object: manifest.key(), pointer },
            }
        })
        .collect()
}

impl Setting {
    pub(super) fn apply(&self, value: &Value, configs: &mut [Value; 3], manifests: &mut [Manifest]) {
        match &self.place {
            Place::Config { stack, keys } => set(&mut configs[*stack as usize], keys, value.clone()),
            Place::Manifest { object, pointer } => {
                let keys: Vec<String> = pointer.split('/').skip(1).map(str::to_owned).collect();
                for manifest in manifests.iter_mut().filter(|manifest| manifest.key() == *object) {
                    // A quantity is a text in every typed reader.
                    let value = if value.is_number() { json!(value.to_string()) } else { value.clone() };
                    set(&mut manifest.value, &keys, value);
                }
            }
        }
    }
}

/// Makes the objects on the way where they are missing; a list is entered by index and never grows.
fn set(document: &mut Value, keys: &[String], value: Value) {
    let Some((key, rest)) = keys.split_first() else {
        *document = value;
        return;
    };
    if let Value::Array(items) = document {
        if let Some(item) = key.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
            set(item, rest, value);
        }
        return;
    }
    if !document.is_object() {
        *document = json!({});
    }
    set(&mut document[key.as_str()], rest, value);
}
