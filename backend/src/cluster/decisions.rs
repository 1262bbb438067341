//! The reasons behind the autoscalers' steps, from the flight recorder (`explain.marea.dev/v1`) where there is one.

use super::watched::{Signals, client_reason};
use crate::view;
use backend_api::hpa::{Reason, ReasonSource};
use kube::Client;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PATH: &str = "/apis/explain.marea.dev/v1/decisions?labelSelector=marea.dev/kind%3Dhpa&limit=500";
/// An autoscaler decides every 15 s.
const PERIOD: Duration = Duration::from_secs(5);
/// AKS has no flight recorder, and will not have one in a second either.
const PERIOD_WHERE_ABSENT: Duration = Duration::from_secs(60);
const KEPT_PER_HPA: usize = 50;
const PART: &str = "decisions";

type ByHpa = BTreeMap<String, Vec<Reason>>;

pub struct Decisions {
    reasons: Arc<Mutex<ByHpa>>,
    task: tokio::task::JoinHandle<()>,
}

impl Decisions {
    pub fn start(client: Client, signals: &Arc<Signals>) -> Decisions {
        let reasons = Arc::new(Mutex::default());
        let task = tokio::spawn(poll(client, reasons.clone(), signals.clone()));
        Decisions { reasons, task }
    }

    /// Newest first, by `namespace/name`.
    pub fn current(&self) -> ByHpa {
        self.reasons.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Drop for Decisions {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn poll(client: Client, reasons: Arc<Mutex<ByHpa>>, signals: Arc<Signals>) {
    loop {
        let pause = match list(&client).await {
            Ok(items) => {
                *reasons.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = by_hpa(&items);
                signals.report(PART, None);
                signals.changed.notify_one();
                PERIOD
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                signals.report(PART, None);
                PERIOD_WHERE_ABSENT
            }
            Err(error) => {
                signals.report(PART, Some(client_reason(&error)));
                PERIOD
            }
        };
        tokio::time::sleep(pause).await;
    }
}

#[derive(Deserialize)]
struct List {
    items: Vec<Value>,
}

/// What the flight recorder says, as far as the console shows it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Decision {
    sequence: u64,
    #[serde(default)]
    at: Option<Value>,
    #[serde(default)]
    namespace: Option<String>,
    object: String,
    summary: String,
    acted: bool,
    #[serde(default)]
    report: Report,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Report {
    reasons: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    text: String,
}

async fn list(client: &Client) -> kube::Result<Vec<Value>> {
    let request = axum::http::Request::get(PATH).body(Vec::new()).map_err(kube::Error::HttpError)?;
    Ok(client.request::<List>(request).await?.items)
}

/// Waiting is said once: of consecutive equal reasons the newest stays.
fn by_hpa(items: &[Value]) -> ByHpa {
    let mut decisions: Vec<(Decision, &Value)> =
        items.iter().filter_map(|item| Some((decision(item)?, item))).collect();
    decisions.sort_by_key(|(decision, _)| std::cmp::Reverse(decision.sequence));
    let mut reasons = ByHpa::new();
    for (decision, item) in decisions {
        let namespace =
            decision.namespace.as_deref().or_else(|| item.pointer("/metadata/namespace")?.as_str()).unwrap_or_default();
        let list = reasons.entry(format!("{namespace}/{}", decision.object)).or_default();
        let repeated = list
            .last()
            .is_some_and(|newer: &Reason| !decision.acted && !newer.acted && newer.summary == decision.summary);
        if !repeated && list.len() < KEPT_PER_HPA {
            let change = view::hpas::rescaled(&decision.summary);
            list.push(Reason {
                from: change.map(|(from, _)| from),
                to: change.map(|(_, to)| to),
                details: decision.report.reasons.into_iter().map(|rule| rule.text).collect(),
                id: decision.sequence.to_string(),
                source: ReasonSource::Decision,
                at: time(decision.at.as_ref(), item),
                summary: decision.summary,
                acted: decision.acted,
            });
        }
    }
    reasons
}

/// The decision is the object's own fields, or its `spec`, as for any other resource.
fn decision(item: &Value) -> Option<Decision> {
    Decision::deserialize(item).ok().or_else(|| Decision::deserialize(item.get("spec")?).ok())
}

fn time(at: Option<&Value>, item: &Value) -> Option<String> {
    match at {
        Some(Value::String(text)) => Some(text.clone()),
        _ => item.pointer("/metadata/creationTimestamp")?.as_str().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn item(sequence: u64, summary: &str, acted: bool) -> Value {
        json!({"metadata": {"name": format!("hpa-backend-{sequence}"), "creationTimestamp": "2026-11-23T10:00:00Z"},
               "sequence": sequence, "kind": "hpa", "namespace": "platform", "object": "backend", "summary": summary, "acted": acted, "report": {}})
    }

    #[test]
    fn reasons_are_newest_first_and_waiting_is_said_once() {
        let reasons =
            by_hpa(&[item(1, "wait", false), item(2, "wait", false), item(3, "2 to 4", true), item(4, "wait", false)]);
        let ids: Vec<&str> = reasons["platform/backend"].iter().map(|reason| reason.id.as_str()).collect();
        assert_eq!(ids, ["4", "3", "2"]);
    }

    #[test]
    fn a_reason_tells_the_replicas_and_the_rules() {
        let mut told = item(1, "scales from 2 to 6 replicas: cpu above target", true);
        told["report"] =
            json!({"summary": "s", "reasons": [{"rule": "hpa.metric", "text": "cpu: 200% against 70%", "inputs": {}}]});
        let reason = by_hpa(&[told]).remove("platform/backend").expect("a reason").remove(0);
        assert_eq!((reason.from, reason.to), (Some(2), Some(6)));
        assert_eq!(reason.details, ["cpu: 200% against 70%"]);
    }

    #[test]
    fn what_is_no_decision_is_passed_over() {
        assert_eq!(by_hpa(&[json!({"metadata": {}})]), ByHpa::new());
        let nested = json!({"metadata": {"namespace": "platform"}, "spec": {"sequence": 1, "object": "backend", "summary": "s", "acted": true}});
        assert_eq!(by_hpa(&[nested])["platform/backend"].len(), 1);
    }
}
