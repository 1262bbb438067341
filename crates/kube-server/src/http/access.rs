//! Authorisation of requests.

use hyper::{Method, Request};

use super::Shared;
use super::path::ResourcePath;
use crate::api::Caller;
use crate::authz::{self, Attributes};
use crate::error::ApiError;

pub fn verb(method: &Method, wanted: &ResourcePath, watch: bool) -> &'static str {
    match (method, wanted.name.is_empty()) {
        (&Method::GET | &Method::HEAD, _) if watch => "watch",
        (&Method::GET | &Method::HEAD, true) => "list",
        (&Method::GET | &Method::HEAD, false) => "get",
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) => "patch",
        (&Method::DELETE, true) => "deletecollection",
        (&Method::DELETE, false) => "delete",
        _ => "",
    }
}

pub fn resource(shared: &Shared, caller: &Caller, wanted: &ResourcePath, verb: &str) -> Result<(), ApiError> {
    // A namespace counts as being in itself: who may read what is in it may read it.
    let own = if wanted.group.is_empty() && wanted.plural == "namespaces" { wanted.name.as_str() } else { "" };
    let attributes = Attributes {
        verb: verb.to_owned(),
        group: wanted.group.clone(),
        resource: wanted.plural.clone(),
        subresource: wanted.subresource.clone(),
        namespace: wanted.namespace.as_deref().unwrap_or(own).to_owned(),
        name: wanted.name.clone(),
        path: String::new(),
    };
    let asked = authz::authorize(&shared.api, caller, &attributes);
    // A kubelet that is asked itself judges its metrics by nodes/metrics. The embedded nodes have no port of their own, so that
    // this path stands for theirs.
    let metrics =
        attributes.resource == "nodes" && attributes.subresource == "proxy" && wanted.rest.starts_with("metrics/");
    if asked.is_err() && metrics && verb == "get" {
        let of_kubelet = Attributes { subresource: "metrics".to_owned(), ..attributes };
        return authz::authorize(&shared.api, caller, &of_kubelet).or(asked);
    }
    asked
}

pub fn path<B>(shared: &Shared, caller: &Caller, request: &Request<B>) -> Result<(), ApiError> {
    let verb = request.method().as_str().to_lowercase();
    let attributes = Attributes { verb, path: request.uri().path().to_owned(), ..Attributes::default() };
    authz::authorize(&shared.api, caller, &attributes)
}
