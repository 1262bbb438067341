//! What the documents say of built-in types and fields, for `kubectl explain` and editors.

use std::collections::BTreeMap;
use std::sync::LazyLock;

pub const TEXT: &str = include_str!("descriptions.txt");

static DESCRIPTIONS: LazyLock<BTreeMap<&str, &str>> = LazyLock::new(|| lines().collect());

fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    TEXT.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(": "))
}

/// `name` is the type's full name, of which the last part counts.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

pub fn of_type(name: &str) -> Option<&'static str> {
    DESCRIPTIONS.get(short(name)).copied()
}

pub fn of_field(name: &str, field: &str) -> Option<&'static str> {
    let of = |ty: &str| DESCRIPTIONS.get(format!("{ty}.{field}").as_str()).copied();
    of(short(name)).or_else(|| of("*"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kube_store::schema::{Resolved, Schema, Type};

    use super::*;

    /// Every type's short name with its fields.
    fn known() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
        let schema = Schema::builtin();
        let mut known: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (_, def) in schema.types() {
            let fields = known.entry(short(&def.name)).or_default();
            if let Type::Object(object) = &def.shape {
                fields.extend(object.fields.keys().map(String::as_str));
            }
        }
        known
    }

    /// Differs (Kubernetes API): `kubectl explain` describes what the platform's kinds use, in own words; rare fields
    /// have a type and no text.
    #[test]
    fn every_line_is_about_something_that_exists() {
        let known = known();
        let mut seen = BTreeSet::new();
        for (key, text) in lines() {
            assert!(seen.insert(key), "{key} has two lines");
            assert!(text.ends_with('.') && text.len() < 140, "{key}: {text}");
            let exists = match key.split_once('.') {
                None => known.contains_key(key),
                Some(("*", field)) => known.values().any(|fields| fields.contains(field)),
                Some((ty, field)) => known.get(ty).is_some_and(|fields| fields.contains(field)),
            };
            assert!(exists, "{key}");
        }
    }

    /// What people look up: the kinds that the platform's manifests use, and everything directly in their specs.
    #[test]
    fn the_platforms_kinds_are_described() {
        let schema = Schema::builtin();
        for (group, version, kind) in [
            ("", "v1", "Service"),
            ("", "v1", "ConfigMap"),
            ("", "v1", "Secret"),
            ("apps", "v1", "Deployment"),
            ("autoscaling", "v2", "HorizontalPodAutoscaler"),
            ("networking.k8s.io", "v1", "Ingress"),
            ("networking.k8s.io", "v1", "NetworkPolicy"),
            ("policy", "v1", "PodDisruptionBudget"),
            ("rbac.authorization.k8s.io", "v1", "Role"),
        ] {
            let ty = schema.type_for(group, version, kind).expect("a kind");
            assert!(of_type(&schema.get(ty).name).is_some(), "{kind}");
            let ty = Type::from(ty);
            let Resolved::Object { object, .. } = schema.resolve(&ty) else { panic!("{kind} is an object") };
            for name in object.fields.keys() {
                assert!(of_field(kind, name).is_some(), "{kind}.{name}");
            }
        }
        for (_, def) in schema.types().filter(|(_, def)| {
            matches!(short(&def.name), "DeploymentSpec" | "HPAScalingRules" | "MetricSpec" | "Probe")
        }) {
            let Type::Object(object) = &def.shape else { continue };
            for name in object.fields.keys() {
                assert!(of_field(&def.name, name).is_some(), "{}.{name}", def.name);
            }
        }
    }
}
