//! Aggregated cluster roles: their rules are written as the union of the rules of the roles that their selectors pick, as
//! upstream's `pkg/controller/clusterroleaggregation` does. Deciding a request then reads rules and nothing else.

use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use kube_store::selector::LabelSelector;

use crate::client::{Client, PatchKind};
use crate::error::ApiError;
use crate::json;

const ROLES: &str = "clusterroles.rbac.authorization.k8s.io";

fn union(client: &Client, role: &Value) -> Vec<Value> {
    let selectors: Vec<LabelSelector> = json::items(role, "/aggregationRule/clusterRoleSelectors")
        .iter()
        .filter_map(|selector| LabelSelector::from_value(selector).ok())
        .collect();
    let mut rules: Vec<Value> = Vec::new();
    for other in client.list_raw(ROLES, None) {
        if json::name(&other) == json::name(role) || !selectors.iter().any(|selector| selector.matches(&other)) {
            continue;
        }
        for rule in json::items(&other, "/rules") {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    rules
}

/// Brings the rules of every aggregated role up to date.
///
/// # Errors
/// When a role cannot be written.
pub async fn reconcile(client: &Client) -> Result<(), ApiError> {
    // Roles aggregate aggregated roles (view into edit into admin): one round a level, and never more than there are roles.
    for _ in 0..=client.list_raw(ROLES, None).len() {
        let mut changed = false;
        for role in client.list_raw(ROLES, None).iter().filter(|role| role.get("aggregationRule").is_some()) {
            let rules = union(client, role);
            if json::items(role, "/rules") == rules {
                continue;
            }
            changed = true;
            match client.patch_raw(ROLES, None, json::name(role), PatchKind::Merge, &json!({"rules": rules})).await {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        if !changed {
            break;
        }
    }
    Ok(())
}

/// Keeps aggregated roles up to date until the API closes.
pub async fn follow(client: Client) {
    let mut changes = client.subscribe();
    loop {
        if let Err(error) = reconcile(&client).await {
            tracing::warn!(%error, "cannot aggregate cluster roles; the next change of one tries again");
        }
        loop {
            match changes.recv().await {
                Ok(change) if &*change.resource == ROLES => break,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return,
            }
        }
    }
}
