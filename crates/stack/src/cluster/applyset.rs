//! The ApplySet of KEP-3659: a parent object that names what belongs to the set, so that pruning needs no other record.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::client::{Cluster, ClusterError};
use super::kinds::{Kind, group_kind, kind};
use super::manifest::Manifest;

pub const PARENT_NAME: &str = "marea";
/// A namespace that always exists and that no manifest owns.
pub const PARENT_NAMESPACE: &str = "default";

pub(super) const PART_OF: &str = "applyset.kubernetes.io/part-of";
const ID: &str = "applyset.kubernetes.io/id";
const TOOLING: &str = "applyset.kubernetes.io/tooling";
const KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";

/// `applyset-<base64(sha256(name.namespace.kind.group))>-v1`
pub(super) fn id() -> String {
    let digest = Sha256::digest(format!("{PARENT_NAME}.{PARENT_NAMESPACE}.ConfigMap."));
    format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(digest))
}

/// What the parent says belongs to the set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    pub group_kinds: BTreeSet<String>,
    pub namespaces: BTreeSet<String>,
}

impl Scope {
    pub fn of(manifests: &[Manifest]) -> Scope {
        Scope {
            group_kinds: manifests.iter().map(|manifest| manifest.kind.group_kind()).collect(),
            namespaces: manifests.iter().filter_map(Manifest::namespace).map(str::to_owned).collect(),
        }
    }

    pub fn union(&self, other: &Scope) -> Scope {
        Scope {
            group_kinds: self.group_kinds.union(&other.group_kinds).cloned().collect(),
            namespaces: self.namespaces.union(&other.namespaces).cloned().collect(),
        }
    }

    pub fn kinds(&self) -> impl Iterator<Item = &'static Kind> {
        self.group_kinds.iter().filter_map(|text| group_kind(text))
    }

    fn parse(parent: &Value) -> Scope {
        let list = |name: &str| -> BTreeSet<String> {
            let text = parent["metadata"]["annotations"][name].as_str().unwrap_or_default();
            text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        Scope { group_kinds: list(KINDS), namespaces: list(NAMESPACES) }
    }

    fn parent(&self) -> Value {
        let join = |set: &BTreeSet<String>| set.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": PARENT_NAME,
                "namespace": PARENT_NAMESPACE,
                "labels": {ID: id()},
                "annotations": {
                    TOOLING: concat!("marea/v", env!("CARGO_PKG_VERSION")),
                    KINDS: join(&self.group_kinds),
                    NAMESPACES: join(&self.namespaces),
                },
            },
        })
    }
}

pub(super) fn parent_kind() -> &'static Kind {
    kind("v1", "ConfigMap").unwrap_or_else(|| unreachable!("the table has ConfigMap"))
}

/// `None` before the first apply.
pub(super) async fn read(cluster: &Cluster) -> Result<Option<Scope>, ClusterError> {
    let path = format!("{}/{PARENT_NAME}", parent_kind().path(Some(PARENT_NAMESPACE)));
    Ok(cluster.get(&path).await?.map(|parent| Scope::parse(&parent)))
}

pub(super) async fn write(cluster: &Cluster, scope: &Scope) -> Result<(), ClusterError> {
    let parent = Manifest { value: scope.parent(), kind: parent_kind(), file: std::path::PathBuf::new() };
    cluster.apply(&parent, false).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_has_the_form_of_the_specification() {
        let id = id();
        assert!(id.starts_with("applyset-") && id.ends_with("-v1"));
        // A label's value has 63 characters at most: 9 + 43 + 3.
        assert_eq!(id.len(), 55);
    }

    #[test]
    fn the_parent_holds_the_scope() {
        let scope = Scope {
            group_kinds: ["Deployment.apps", "ConfigMap"].map(str::to_owned).into(),
            namespaces: ["platform"].map(str::to_owned).into(),
        };
        assert_eq!(Scope::parse(&scope.parent()), scope);
        assert_eq!(scope.parent()["metadata"]["annotations"][KINDS], "ConfigMap,Deployment.apps");
    }
}
