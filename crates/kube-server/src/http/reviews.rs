//! What is answered rather than stored: access reviews, tokens, metrics, decisions, logs.

use std::sync::Arc;

use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio_stream::StreamExt;
use tokio_util::io::ReaderStream;
use units::{Millis, Quantity, Timestamp};

use kube_store::selector::Selector;

use super::Shared;
use super::path::{Query, ResourcePath};
use super::respond::{self, Reply};
use crate::api::Caller;
use crate::authn::tokens::Claims;
use crate::authz::{self, Attributes};
use crate::decisions::DecisionFilter;
use crate::error::ApiError;
use crate::json;
use crate::node_agent::{ContainerRef, LogOptions, NodeAgentError};

const DEFAULT_TOKEN_SECONDS: i64 = 3600;
/// Upstream's least lifetime of a requested token.
const LEAST_TOKEN_SECONDS: i64 = 600;

pub fn is_review(wanted: &ResourcePath) -> bool {
    matches!(wanted.group.as_str(), "authorization.k8s.io" | "authentication.k8s.io") && wanted.version == "v1"
}

pub fn handle(
    shared: &Arc<Shared>,
    caller: &Caller,
    wanted: &ResourcePath,
    review: &Value,
) -> Result<Response<Reply>, ApiError> {
    let spec = &review["spec"];
    let status = match wanted.plural.as_str() {
        "selfsubjectaccessreviews" => access(shared, caller, spec),
        "subjectaccessreviews" | "localsubjectaccessreviews" => {
            let groups = json::items(spec, "/groups").iter().filter_map(|g| g.as_str().map(str::to_owned)).collect();
            let name = json::text(spec, "/user").unwrap_or_default().to_owned();
            access(shared, &Caller { name, groups, ..Caller::default() }, spec)
        }
        "selfsubjectrulesreviews" => {
            let namespace = json::text(spec, "/namespace").unwrap_or_default();
            let rules = authz::rules_of(&shared.api, caller, namespace);
            let (paths, resources): (Vec<Value>, Vec<Value>) =
                rules.into_iter().partition(|r| r.get("nonResourceURLs").is_some());
            json!({"incomplete": false, "resourceRules": resources, "nonResourceRules": paths})
        }
        "selfsubjectreviews" => json!({"userInfo": user(caller)}),
        "tokenreviews" => {
            let token = json::text(spec, "/token").unwrap_or_default();
            match crate::authn::from_token(&shared.api, &shared.tokens, token) {
                Ok(found) => {
                    json!({"authenticated": true, "user": user(&found), "audiences": [shared.api.settings().issuer]})
                }
                Err(_) => json!({"user": {}, "error": "invalid bearer token"}),
            }
        }
        _ => return Err(ApiError::no_such_path()),
    };
    let mut answer = review.clone();
    json::object(&mut answer, "metadata");
    answer["status"] = status;
    Ok(respond::json(201, &answer))
}

fn user(caller: &Caller) -> Value {
    let mut user = json!({"username": caller.name, "groups": caller.groups});
    if !caller.uid.is_empty() {
        user["uid"] = json!(caller.uid);
    }
    if !caller.extra.is_empty() {
        user["extra"] = json!(caller.extra);
    }
    user
}

fn access(shared: &Shared, caller: &Caller, spec: &Value) -> Value {
    let part =
        |holder: &str, field: &str| json::text(spec, &format!("/{holder}/{field}")).unwrap_or_default().to_owned();
    let wanted = if spec.get("nonResourceAttributes").is_some() {
        Attributes {
            verb: part("nonResourceAttributes", "verb"),
            path: part("nonResourceAttributes", "path"),
            ..Attributes::default()
        }
    } else {
        let of = |field| part("resourceAttributes", field);
        Attributes {
            verb: of("verb"),
            group: of("group"),
            resource: of("resource"),
            subresource: of("subresource"),
            namespace: of("namespace"),
            name: of("name"),
            path: String::new(),
        }
    };
    json!({"allowed": authz::allowed(&shared.api, caller, &wanted)})
}

/// A token for a service account, bound to a pod when the request names one.
pub fn token(shared: &Shared, namespace: &str, name: &str, mut request: Value) -> Result<Response<Reply>, ApiError> {
    let api = &shared.api;
    let account = api
        .cache()
        .get("serviceaccounts", Some(namespace), name)
        .ok_or_else(|| ApiError::not_found("serviceaccounts", name))?;
    let seconds = json::integer(&request, "/spec/expirationSeconds").unwrap_or(DEFAULT_TOKEN_SECONDS);
    if seconds < LEAST_TOKEN_SECONDS {
        let mut errors = crate::field::FieldErrors::default();
        errors.invalid("spec.expirationSeconds", &json!(seconds), "may not specify a duration less than 10 minutes");
        return Err(ApiError::invalid("TokenRequest.authentication.k8s.io", name, &errors));
    }
    let pod = match json::text(&request, "/spec/boundObjectRef/kind") {
        None => None,
        Some("Pod") => {
            let pod = json::text(&request, "/spec/boundObjectRef/name").unwrap_or_default().to_owned();
            let stored =
                api.cache().get("pods", Some(namespace), &pod).ok_or_else(|| ApiError::not_found("pods", &pod))?;
            Some((pod, json::uid(&stored).to_owned()))
        }
        Some(other) => return Err(ApiError::bad_request(format!("tokens can be bound to pods, not to a {other}"))),
    };
    let now = crate::clock::now();
    let expires = now + Millis::from_secs(seconds);
    let issuer = &api.settings().issuer;
    let mut audiences: Vec<String> =
        json::items(&request, "/spec/audiences").iter().filter_map(|a| a.as_str().map(str::to_owned)).collect();
    if audiences.is_empty() {
        audiences.push(issuer.clone());
    }
    let account_uid = json::uid(&account).to_owned();
    let claims =
        Claims { namespace: namespace.to_owned(), account: name.to_owned(), account_uid, pod, audiences, expires };
    let token = api.settings().signer.sign(&claims, issuer, now).map_err(ApiError::internal)?;
    json::object(&mut request, "spec")["audiences"] = json!(claims.audiences);
    request["spec"]["expirationSeconds"] = json!(seconds);
    request["status"] = json!({"token": token, "expirationTimestamp": expires.truncated().rfc3339()});
    Ok(respond::json(201, &request))
}

/// Resources that are computed: `None` when the path names a stored one.
pub fn virtual_resource(shared: &Shared, wanted: &ResourcePath, query: &Query) -> Result<Option<Value>, ApiError> {
    let (kind, items) = match (wanted.group.as_str(), wanted.plural.as_str()) {
        ("metrics.k8s.io", "pods") => ("PodMetrics", pod_metrics(shared, wanted.namespace.as_deref())),
        ("metrics.k8s.io", "nodes") => ("NodeMetrics", node_metrics(shared)),
        ("explain.marea.dev", "decisions") => ("Decision", decisions(shared, wanted.namespace.as_deref())),
        _ => return Ok(None),
    };
    let api_version = format!("{}/{}", wanted.group, wanted.version);
    let named = |mut item: Value| {
        item["kind"] = json!(kind);
        item["apiVersion"] = json!(api_version);
        item
    };
    if !wanted.name.is_empty() {
        let resource = format!("{}.{}", wanted.plural, wanted.group);
        let found = items.into_iter().find(|item| json::name(item) == wanted.name).map(named);
        return found.map(Some).ok_or_else(|| ApiError::not_found(&resource, &wanted.name));
    }
    if query.flag("watch") {
        return Err(ApiError::method_not_allowed(format!("{} cannot be watched; list it again", wanted.plural)));
    }
    let selector =
        Selector::parse(query.get("labelSelector").unwrap_or_default(), query.get("fieldSelector").unwrap_or_default())
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
    let items: Vec<Value> = items.into_iter().filter(|item| selector.matches(item)).map(named).collect();
    Ok(Some(json!({"kind": format!("{kind}List"), "apiVersion": api_version, "metadata": {}, "items": items})))
}

fn usage(cpu: units::Millicores, memory: units::Bytes) -> Value {
    json!({"cpu": Quantity::from_millis(cpu.0).to_string(), "memory": format!("{}Ki", memory.0 / 1024)})
}

fn sample(metadata: Value, at: Timestamp, window: Millis) -> Value {
    json!({"metadata": metadata, "timestamp": at.truncated().rfc3339(), "window": format!("{}s", window.0 / 1000)})
}

fn pod_metrics(shared: &Shared, namespace: Option<&str>) -> Vec<Value> {
    let Some(agent) = shared.api.node_agent() else { return Vec::new() };
    let pods = agent.pod_usage().into_iter().filter(|pod| namespace.is_none_or(|n| n == pod.namespace));
    pods.map(|pod| {
        let stored = shared.api.cache().get("pods", Some(&pod.namespace), &pod.pod);
        let labels = stored.and_then(|p| p["metadata"].get("labels").cloned()).unwrap_or_else(|| json!({}));
        let metadata = json!({"name": pod.pod, "namespace": pod.namespace, "labels": labels, "creationTimestamp": pod.at.truncated().rfc3339()});
        let mut item = sample(metadata, pod.at, pod.window);
        item["containers"] = pod.containers.iter().map(|c| json!({"name": c.container, "usage": usage(c.cpu, c.memory)})).collect();
        item
    })
    .collect()
}

fn node_metrics(shared: &Shared) -> Vec<Value> {
    let Some(agent) = shared.api.node_agent() else { return Vec::new() };
    let nodes = agent.node_usage().into_iter();
    nodes
        .map(|node| {
            let metadata = json!({"name": node.node, "creationTimestamp": node.at.truncated().rfc3339()});
            let mut item = sample(metadata, node.at, node.window);
            item["usage"] = usage(node.cpu, node.memory);
            item
        })
        .collect()
}

fn decisions(shared: &Shared, namespace: Option<&str>) -> Vec<Value> {
    let Some(source) = shared.api.decisions() else { return Vec::new() };
    let filter = DecisionFilter { namespace: namespace.map(str::to_owned), ..DecisionFilter::default() };
    let mut items = Vec::new();
    for decision in source.decisions(&filter) {
        let mut metadata = json!({"name": format!("{}-{}-{}", decision.kind, decision.object, decision.sequence),
            "creationTimestamp": decision.at.truncated().rfc3339(),
            "labels": {"marea.dev/kind": decision.kind, "marea.dev/object": decision.object}});
        if let Some(namespace) = &decision.namespace {
            metadata["namespace"] = json!(namespace);
        }
        items.push(json!({"metadata": metadata, "sequence": decision.sequence, "at": decision.at.rfc3339(), "kindOfObject": decision.kind,
            "object": decision.object, "summary": decision.summary, "acted": decision.acted, "report": decision.report}));
    }
    items
}

pub fn agent_error(error: NodeAgentError) -> ApiError {
    match error {
        NodeAgentError::NotFound(container) => {
            ApiError::new(404, "NotFound", format!("container {container} not found"))
        }
        NodeAgentError::BadRequest(why) => ApiError::bad_request(why),
        NodeAgentError::Io { .. } => ApiError::internal(error),
    }
}

/// The container that a request means: the one it names, or the only one.
pub fn container(pod: &Value, stated: Option<&str>) -> Result<String, ApiError> {
    let known = json::items(pod, "/spec/initContainers").iter().chain(json::items(pod, "/spec/containers"));
    if let Some(stated) = stated {
        return match known.clone().any(|c| c["name"] == stated) {
            true => Ok(stated.to_owned()),
            false => Err(ApiError::bad_request(format!("container {stated} is not valid for pod {}", json::name(pod)))),
        };
    }
    let containers = json::items(pod, "/spec/containers");
    match containers {
        [only] => Ok(json::text(only, "/name").unwrap_or_default().to_owned()),
        _ => {
            let names: Vec<&str> = containers.iter().filter_map(|c| json::text(c, "/name")).collect();
            Err(ApiError::bad_request(format!(
                "a container name must be specified for pod {}, choose one of: [{}]",
                json::name(pod),
                names.join(" ")
            )))
        }
    }
}

/// What the kubelet of a node reports under `nodes/<name>/proxy`.
///
/// # Errors
/// 404 for an unknown node or path.
pub fn node_proxy(shared: &Shared, wanted: &ResourcePath) -> Result<Response<Reply>, ApiError> {
    if shared.api.cache().get("nodes", None, &wanted.name).is_none() {
        return Err(ApiError::not_found("nodes", &wanted.name));
    }
    let agent =
        shared.api.node_agent().ok_or_else(|| ApiError::unavailable("no node serves metrics yet; try again"))?;
    let metrics = agent.node_metrics(&wanted.name, &format!("/{}", wanted.rest)).ok_or_else(ApiError::no_such_path)?;
    Ok(respond::stream("text/plain; version=0.0.4; charset=utf-8", respond::full(metrics)))
}

pub async fn log(shared: &Shared, wanted: &ResourcePath, query: &Query) -> Result<Response<Reply>, ApiError> {
    let namespace = wanted.namespace.clone().unwrap_or_default();
    let pod = shared
        .api
        .cache()
        .get("pods", Some(&namespace), &wanted.name)
        .ok_or_else(|| ApiError::not_found("pods", &wanted.name))?;
    let container = container(&pod, query.get("container"))?;
    let agent = shared.api.node_agent().ok_or_else(|| ApiError::unavailable("no node serves logs yet; try again"))?;
    let since_seconds = query.number("sinceSeconds")?.and_then(|n| i64::try_from(n).ok());
    let since = match query.get("sinceTime") {
        Some(text) => {
            Some(Timestamp::parse(text).map_err(|error| ApiError::bad_request(format!("sinceTime: {error}")))?)
        }
        None => since_seconds.map(|seconds| crate::clock::now() - Timestamp(seconds * 1000)).map(|ms| Timestamp(ms.0)),
    };
    let options = LogOptions {
        follow: query.flag("follow"),
        previous: query.flag("previous"),
        tail_lines: query.number("tailLines")?,
        limit_bytes: query.number("limitBytes")?,
        since,
        timestamps: query.flag("timestamps"),
    };
    let about = ContainerRef { namespace, pod: wanted.name.clone(), container };
    let reader = agent.logs(&about, &options).await.map_err(agent_error)?;
    let frames = ReaderStream::new(reader).map(|chunk| chunk.map(Frame::data));
    Ok(respond::stream("text/plain", StreamBody::new(frames).boxed_unsync()))
}
