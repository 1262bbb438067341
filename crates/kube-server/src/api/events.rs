//! Events for people, with repeats counted instead of stored again.

use k8s_openapi::api::core::v1::{Event, ObjectReference};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use units::{Millis, Timestamp};

use crate::client::{Client, DeleteOptions, PatchKind};
use crate::error::ApiError;
use crate::json;

/// The same event about the same object always gets the same name, so that a repeat finds the first one.
fn event_name(about: &ObjectReference, kind: &str, reason: &str, message: &str, component: &str) -> String {
    let uid = about.uid.as_deref().unwrap_or_default();
    let digest = Sha256::digest([uid, kind, reason, message, component].join("\0"));
    let suffix: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let name: String = about.name.as_deref().unwrap_or("object").chars().take(230).collect();
    format!("{name}.{suffix}")
}

pub async fn record(
    client: &Client,
    about: &ObjectReference,
    kind: &str,
    reason: &str,
    message: &str,
    component: &str,
) -> Result<(), ApiError> {
    let namespace = about.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or("default");
    let name = event_name(about, kind, reason, message, component);
    let now = crate::clock::now().truncated().rfc3339();
    if let Some(known) = client.get_raw("events", Some(namespace), &name) {
        let count = json::integer(&known, "/count").unwrap_or(1) + 1;
        let patch = json!({"count": count, "lastTimestamp": now});
        match client.patch::<Event>(Some(namespace), &name, PatchKind::Merge, &patch).await {
            Err(error) if error.is_not_found() => {}
            other => return other.map(drop),
        }
    }
    let event = json!({
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": about, "type": kind, "reason": reason, "message": message,
        "source": {"component": component}, "reportingComponent": component, "reportingInstance": "",
        "count": 1, "firstTimestamp": now, "lastTimestamp": now,
    });
    client.create_raw("events", Some(namespace), event).await.map(drop)
}

/// Events go this long after they were last seen, as upstream's default time-to-live has it.
const TIME_TO_LIVE: Millis = Millis::from_secs(3600);
const SWEEP_PERIOD: std::time::Duration = std::time::Duration::from_secs(60);

fn last_seen(event: &Value) -> Option<Timestamp> {
    ["/lastTimestamp", "/series/lastObservedTime", "/eventTime", "/metadata/creationTimestamp"]
        .iter()
        .find_map(|pointer| json::text(event, pointer).and_then(|text| Timestamp::parse(text).ok()))
}

/// Removes old events until the server stops.
pub async fn expire(client: Client) {
    loop {
        tokio::time::sleep(SWEEP_PERIOD).await;
        let now = crate::clock::now();
        for event in client.list_raw("events", None) {
            if last_seen(&event).is_none_or(|at| now - at < TIME_TO_LIVE) {
                continue;
            }
            let gone = client
                .delete_raw("events", json::namespace(&event), json::name(&event), &DeleteOptions::default())
                .await;
            if let Err(error) = gone.or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) }) {
                tracing::warn!(%error, "cannot remove an old event");
            }
        }
    }
}
