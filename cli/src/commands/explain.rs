//! `marea explain`: the reasons, from the flight recorder where the cluster has one.

mod at;
mod instant;
mod journal;
mod otherwise;
mod timeline;

use serde_json::{Value, json};
use stack::cluster::{Cluster, ClusterError};

use crate::args::Explain;
use crate::error::{CliError, Result};
use crate::project::Project;
use crate::session::Session;
use crate::stacks::up;
use crate::terminal::{Terminal, print, print_json};

pub async fn run(args: &Explain) -> Result<()> {
    if let Some(instant) = &args.at {
        return at::run(args, instant);
    }
    let object = args.object.as_deref().ok_or_else(|| {
        CliError::bad_input("what is to be explained is not named")
            .advice("For example: marea explain hpa/backend, or everything at an instant: marea explain --at 14:03")
    })?;
    let (kind, name) = parse(object)?;
    let terminal = Terminal::new();
    let session = Session::open(Project::find()?, &args.env, false, &terminal).await?;
    let known = up::read_known(&session).await?;
    let cluster = session.cluster(&known.need_base()?.cluster_id).await?;
    terminal.clear();
    let recorded = decisions(&cluster, kind, name, &args.namespace, args.last).await?;
    if !recorded.is_empty() {
        return show_decisions(args, object, &recorded);
    }
    let (found, events) = fallback(&cluster, kind, name, &args.namespace).await?;
    if args.json {
        print_json(
            &json!({"object": object, "decisions": [], "conditions": found["status"]["conditions"], "events": events}),
        );
        return Ok(());
    }
    print(&render_fallback(object, &found, &events));
    Ok(())
}

fn parse(object: &str) -> Result<(&'static str, &str)> {
    let form = || {
        CliError::bad_input(format!("`{object}` is not hpa/NAME, pod/NAME or pool/NAME"))
            .advice("For example: marea explain hpa/backend")
    };
    let (kind, name) = object.split_once('/').filter(|(_, name)| !name.is_empty()).ok_or_else(form)?;
    let kind = match kind {
        "hpa" | "horizontalpodautoscaler" => "hpa",
        "pod" | "po" => "pod",
        "pool" => "pool",
        _ => return Err(form()),
    };
    Ok((kind, name))
}

/// The newest decisions, oldest first. A cluster without a flight recorder has none.
async fn decisions(cluster: &Cluster, kind: &str, name: &str, namespace: &str, last: usize) -> Result<Vec<Value>> {
    let path = format!(
        "/apis/explain.marea.dev/v1/decisions?labelSelector=marea.dev%2Fkind%3D{kind}%2Cmarea.dev%2Fobject%3D{name}"
    );
    let list = match cluster.get(&path).await {
        Ok(list) => list.unwrap_or_default(),
        Err(ClusterError::Refused { code: 403, .. }) => Value::Null,
        Err(error) => return Err(error.into()),
    };
    let mut items = list["items"].as_array().cloned().unwrap_or_default();
    items.retain(|item| kind == "pool" || item["namespace"].is_null() || item["namespace"] == namespace);
    items.sort_by_key(|item| item["sequence"].as_u64());
    Ok(items.split_off(items.len().saturating_sub(last)))
}

fn show_decisions(args: &Explain, object: &str, decisions: &[Value]) -> Result<()> {
    if args.json {
        print_json(&json!({"object": object, "decisions": decisions}));
        return Ok(());
    }
    for decision in decisions {
        print(&render_decision(decision));
    }
    Ok(())
}

fn render_decision(decision: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mark = if decision["acted"] == true { "→" } else { "·" };
    let mut out = format!("{} {mark} {}\n", text(&decision["at"]), text(&decision["summary"]));
    for reason in decision["report"]["reasons"].as_array().into_iter().flatten() {
        out.push_str(&format!("    {}: {}\n", text(&reason["rule"]), text(&reason["text"])));
    }
    out
}

/// Without a flight recorder (AKS has none) the object's own conditions and events are what there is.
async fn fallback(cluster: &Cluster, kind: &str, name: &str, namespace: &str) -> Result<(Value, Vec<Value>)> {
    let path = match kind {
        "hpa" => format!("/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}"),
        "pod" => format!("/api/v1/namespaces/{namespace}/pods/{name}"),
        _ => "/api/v1/namespaces/kube-system/configmaps/cluster-autoscaler-status".to_owned(),
    };
    let object = cluster.get(&path).await?.ok_or_else(|| {
        CliError::failed(format!(
            "there is no {kind} `{name}`{}, and nothing was decided about one",
            if kind == "pool" { String::new() } else { format!(" in `{namespace}`") }
        ))
        .advice("`marea status` lists pools and autoscalers; --namespace names another namespace.")
    })?;
    let events = cluster
        .get(&format!("/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.name%3D{name}"))
        .await?
        .unwrap_or_default();
    Ok((object, events["items"].as_array().cloned().unwrap_or_default()))
}

fn render_fallback(name: &str, object: &Value, events: &[Value]) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut out = format!("{name}: no recorded decisions; conditions and events:\n");
    for condition in object["status"]["conditions"].as_array().into_iter().flatten() {
        out.push_str(&format!(
            "    {} is {} ({}): {}\n",
            text(&condition["type"]),
            text(&condition["status"]),
            text(&condition["reason"]),
            text(&condition["message"])
        ));
    }
    for line in object["data"]["status"].as_str().into_iter().flat_map(str::lines) {
        out.push_str(&format!("    {line}\n"));
    }
    for event in events {
        out.push_str(&format!(
            "    {} {}: {}\n",
            text(&event["lastTimestamp"]),
            text(&event["reason"]),
            text(&event["message"])
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_by_kind_and_name() {
        assert_eq!(parse("hpa/backend").unwrap(), ("hpa", "backend"));
        assert_eq!(parse("po/x").unwrap(), ("pod", "x"));
        for wrong in ["backend", "hpa/", "node/x"] {
            assert!(parse(wrong).is_err_and(|error| error.message.contains("is not hpa/NAME")), "{wrong}");
        }
    }

    #[test]
    fn a_decision_is_printed_with_its_reasons() {
        let decision = json!({"at": "2026-11-23T10:00:00Z", "acted": true, "summary": "2 → 6", "report": {"reasons": [{"rule": "hpa.metric.cpu", "text": "400 % of 70 %"}]}});
        assert_eq!(render_decision(&decision), "2026-11-23T10:00:00Z → 2 → 6\n    hpa.metric.cpu: 400 % of 70 %\n");
    }
}
