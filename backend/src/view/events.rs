//! Kubernetes events.

use super::namespaced;
use backend_api::cluster::Event;
use k8s_openapi::api::core::v1;
use std::sync::Arc;

/// As many as a person reads; the API keeps an hour's worth.
const SHOWN: usize = 200;

pub fn newest(events: &[Arc<v1::Event>]) -> Vec<Event> {
    let mut events: Vec<Event> = events.iter().map(|event| one(event)).collect();
    events.sort_by(|a, b| (&b.last_seen_at, &a.id).cmp(&(&a.last_seen_at, &b.id)));
    events.truncate(SHOWN);
    events
}

fn one(event: &v1::Event) -> Event {
    let about = &event.involved_object;
    let series = event.series.as_ref();
    Event {
        id: namespaced(event.metadata.namespace.as_deref(), event.metadata.name.as_deref().unwrap_or_default()),
        severity: event.type_.clone().unwrap_or_else(|| "Normal".to_owned()),
        reason: event.reason.clone().unwrap_or_default(),
        message: event.message.clone().unwrap_or_default(),
        object: format!("{}/{}", about.kind.as_deref().unwrap_or_default(), about.name.as_deref().unwrap_or_default()),
        namespace: about.namespace.clone().unwrap_or_default(),
        count: u32::try_from(series.and_then(|series| series.count).or(event.count).unwrap_or(1)).unwrap_or(1),
        last_seen_at: seen_at(event),
    }
}

/// Events of the old and the new recorder keep their time in different fields.
pub fn seen_at(event: &v1::Event) -> Option<String> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let recorded = event.event_time.as_ref().map(|time| time.0);
    let created = event.metadata.creation_timestamp.as_ref().map(|time| time.0);
    series.or(last).or(recorded).or(created).map(|time| time.to_string())
}
