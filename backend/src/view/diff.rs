//! What changed between two snapshots.

use backend_api::stream::{Change, Snapshot};
use std::collections::BTreeMap;

/// Removals first, so that a pod that moves is never in two places.
pub fn changes(before: &Snapshot, after: &Snapshot) -> Vec<Change> {
    let mut changes = Vec::new();
    list(
        &before.events,
        &after.events,
        |event| event.id.clone(),
        &mut changes,
        |key, value| Change::Event { key, value },
    );
    list(
        &before.pods,
        &after.pods,
        |pod| format!("{}/{}", pod.namespace, pod.name),
        &mut changes,
        |key, value| Change::Pod { key, value },
    );
    list(&before.nodes, &after.nodes, |node| node.name.clone(), &mut changes, |key, value| Change::Node { key, value });
    list(&before.pools, &after.pools, |pool| pool.name.clone(), &mut changes, |key, value| Change::Pool { key, value });
    list(
        &before.hpas,
        &after.hpas,
        |hpa| format!("{}/{}", hpa.namespace, hpa.name),
        &mut changes,
        |key, value| Change::Hpa { key, value },
    );
    list(
        &before.stacks,
        &after.stacks,
        |stack| stack.name.clone(),
        &mut changes,
        |key, value| Change::Stack { key, value },
    );
    if before.preview != after.preview {
        changes.push(Change::Preview { value: after.preview.clone() });
    }
    if before.cluster != after.cluster {
        changes.push(Change::Cluster { value: after.cluster.clone() });
    }
    changes
}

fn list<T: Clone + PartialEq>(
    before: &[T],
    after: &[T],
    key: impl Fn(&T) -> String,
    changes: &mut Vec<Change>,
    change: impl Fn(String, Option<T>) -> Change,
) {
    let old: BTreeMap<String, &T> = before.iter().map(|item| (key(item), item)).collect();
    let new: BTreeMap<String, &T> = after.iter().map(|item| (key(item), item)).collect();
    for gone in old.keys().filter(|key| !new.contains_key(*key)) {
        changes.push(change(gone.clone(), None));
    }
    for (key, item) in new {
        if old.get(&key) != Some(&item) {
            changes.push(change(key, Some(item.clone())));
        }
    }
}
