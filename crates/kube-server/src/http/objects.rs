//! Requests for resources.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde_json::{Value, json};

use kube_store::selector::Selector;

use super::path::{Query, ResourcePath};
use super::respond::{self, Reply};
use super::{Shared, body, redaction, reviews, streams, watching};
use crate::api::{Caller, FieldValidation, ListOptions, Part, WatchOptions, WriteOptions, Written, scale_object};
use crate::client::{DeleteOptions, PatchKind};
use crate::error::ApiError;
use crate::json;
use crate::registry::ResourceDef;
use crate::tables::{self, IncludeObject};

struct Call<'c> {
    shared: &'c Arc<Shared>,
    caller: &'c Caller,
    def: Arc<ResourceDef>,
    wanted: ResourcePath,
    query: Query,
    options: WriteOptions,
    shape: Shape,
}

/// In which form the client wants objects, from `Accept`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Plain,
    Table,
    Partial,
}

fn shape(request: &Request<Incoming>) -> Shape {
    let accept = request.headers().get(http::header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let first = accept.split(',').find(|a| a.trim_start().starts_with("application/json")).unwrap_or_default();
    if first.contains("as=Table") {
        Shape::Table
    } else if first.contains("as=PartialObjectMetadata") {
        Shape::Partial
    } else {
        Shape::Plain
    }
}

fn write_options(query: &Query, request: &Request<Incoming>) -> Result<WriteOptions, ApiError> {
    let agent = request.headers().get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("unknown");
    let dry_run = match query.get("dryRun") {
        None => false,
        Some("All") => true,
        Some(other) => return Err(ApiError::bad_request(format!("Invalid value: {other:?}: dryRun must be All"))),
    };
    let field_validation = match query.get("fieldValidation") {
        Some("Strict") => FieldValidation::Strict,
        Some("Ignore") => FieldValidation::Ignore,
        _ => FieldValidation::Warn,
    };
    // Upstream derives the manager from the user agent's first word.
    let manager = query.get("fieldManager").unwrap_or_else(|| agent.split('/').next().unwrap_or("unknown"));
    Ok(WriteOptions { field_manager: manager.to_owned(), dry_run, field_validation })
}

fn content_type(request: &Request<Incoming>) -> String {
    request.headers().get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
}

pub async fn handle(
    shared: &Arc<Shared>,
    caller: &Caller,
    wanted: ResourcePath,
    request: Request<Incoming>,
) -> Result<Response<Reply>, ApiError> {
    let query = Query::parse(request.uri().query());
    if reviews::is_review(&wanted) {
        let media = content_type(&request);
        let bytes = body::read(request.into_body()).await?;
        return reviews::handle(shared, caller, &wanted, &body::parse(&bytes, &media)?);
    }
    if streams::is_stream(&wanted) {
        return streams::handle(shared, caller, &wanted, &query, request);
    }
    if let Some(reply) = super::reviews::virtual_resource(shared, &wanted, &query)? {
        return Ok(respond::json(200, &reply));
    }
    let def = shared
        .api
        .registry()
        .by_path(&wanted.group, &wanted.version, &wanted.plural)
        .ok_or_else(ApiError::no_such_path)?;
    let options = write_options(&query, &request)?;
    let call = Call { shared, caller, def, shape: shape(&request), wanted, query, options };
    call.run(request).await
}

impl Call<'_> {
    fn namespace(&self) -> Option<&str> {
        self.wanted.namespace.as_deref()
    }

    fn part(&self) -> Result<Part, ApiError> {
        match self.wanted.subresource.as_str() {
            "" => Ok(Part::Main),
            "status" if self.def.status => Ok(Part::Status),
            "scale" if self.def.scale.is_some() => Ok(Part::Scale),
            "finalize" if &*self.def.resource == "namespaces" => Ok(Part::Finalize),
            "ephemeralcontainers" | "attach" | "proxy" => Err(ApiError::method_not_allowed(format!(
                "this server does not serve {}/{}; there are pods/exec and pods/portforward",
                self.def.plural, self.wanted.subresource
            ))),
            _ => Err(ApiError::no_such_path()),
        }
    }

    async fn run(self, request: Request<Incoming>) -> Result<Response<Reply>, ApiError> {
        let method = request.method().clone();
        let content_type = content_type(&request);
        if method == Method::GET || method == Method::HEAD {
            return self.read().await;
        }
        let bytes = body::read(request.into_body()).await?;
        let is_secret = &*self.def.resource == "secrets";
        let written = self.write(method, &bytes, &content_type).await;
        if !is_secret {
            return written;
        }
        let body = || body::parse(&bytes, &content_type).unwrap_or_default();
        written.map_err(|error| redaction::redact(error, &body()))
    }

    async fn write(self, method: Method, bytes: &[u8], content_type: &str) -> Result<Response<Reply>, ApiError> {
        match method {
            Method::POST => self.post(body::parse(bytes, content_type)?).await,
            Method::PUT => {
                let value = body::parse(bytes, content_type)?;
                let (api, name, part) = (&self.shared.api, &self.wanted.name, self.part()?);
                let written =
                    api.update(self.caller, &self.def, self.namespace(), name, part, value, &self.options).await?;
                Ok(self.written(&written))
            }
            Method::PATCH => self.patch(bytes, content_type).await,
            Method::DELETE => self.delete(body::parse(bytes, content_type)?).await,
            _ => Err(ApiError::method_not_allowed("the server does not allow this method on the requested resource")),
        }
    }

    async fn read(&self) -> Result<Response<Reply>, ApiError> {
        let api = &self.shared.api;
        if self.wanted.name.is_empty() || self.query.flag("watch") {
            return if self.query.flag("watch") { self.watch() } else { self.list() };
        }
        if self.wanted.subresource == "log" {
            return super::reviews::log(self.shared, &self.wanted, &self.query).await;
        }
        if &*self.def.resource == "nodes" && self.wanted.subresource == "proxy" {
            return reviews::node_proxy(self.shared, &self.wanted);
        }
        let part = self.part()?;
        let object = api.get(&self.def, self.namespace(), &self.wanted.name)?;
        if part == Part::Scale {
            return Ok(respond::json(200, &scale_object(&self.def, &object)?));
        }
        Ok(self.shown(200, &object))
    }

    fn shown(&self, code: u16, object: &Arc<Value>) -> Response<Reply> {
        match self.shape {
            Shape::Plain => respond::json(code, object),
            Shape::Partial => respond::json(code, &tables::partial(object)),
            Shape::Table => {
                let metadata = json!({"resourceVersion": json::resource_version(object)});
                let include = IncludeObject::parse(self.query.get("includeObject"));
                respond::json(
                    code,
                    &tables::table(&self.def, std::slice::from_ref(object), include, metadata, crate::clock::now()),
                )
            }
        }
    }

    fn selector(&self) -> Result<Selector, ApiError> {
        let mut fields = self.query.get("fieldSelector").unwrap_or_default().to_owned();
        if !self.wanted.name.is_empty() {
            fields = format!("metadata.name={}", self.wanted.name);
        }
        Selector::parse(self.query.get("labelSelector").unwrap_or_default(), &fields)
            .map_err(|error| ApiError::bad_request(format!("unable to parse requirement: {error}")))
    }

    fn list(&self) -> Result<Response<Reply>, ApiError> {
        let exact = self.query.get("resourceVersionMatch") == Some("Exact");
        let options = ListOptions {
            selector: self.selector()?,
            limit: self.query.number("limit")?.filter(|n| *n > 0).and_then(|n| usize::try_from(n).ok()),
            continue_token: self.query.get("continue").map(str::to_owned),
            exact_revision: if exact { self.query.number("resourceVersion")? } else { None },
        };
        let page = self.shared.api.list(&self.def, self.namespace(), &options)?;
        let mut metadata = json!({"resourceVersion": page.revision.to_string()});
        if let Some(token) = &page.continue_token {
            metadata["continue"] = json!(token);
            if let Some(remaining) = page.remaining {
                metadata["remainingItemCount"] = json!(remaining);
            }
        }
        let list = match self.shape {
            Shape::Table => {
                let include = IncludeObject::parse(self.query.get("includeObject"));
                tables::table(&self.def, &page.items, include, metadata, crate::clock::now())
            }
            Shape::Partial => {
                let items: Vec<Value> = page.items.iter().map(|item| tables::partial(item)).collect();
                json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items})
            }
            Shape::Plain => {
                return Ok(respond::list(&self.def.list_kind, &self.def.api_version(), &metadata, &page.items));
            }
        };
        Ok(respond::json(200, &list))
    }

    fn watch(&self) -> Result<Response<Reply>, ApiError> {
        let options = WatchOptions {
            selector: self.selector()?,
            since: self.query.number("resourceVersion")?,
            bookmarks: self.query.flag("allowWatchBookmarks"),
            send_initial_events: self.query.flag("sendInitialEvents"),
            timeout: self.query.number("timeoutSeconds")?.map(Duration::from_secs),
        };
        let watch = self.shared.api.watch(self.def.clone(), self.wanted.namespace.clone(), options)?;
        let (def, shape) = (self.def.clone(), self.shape);
        let include = IncludeObject::parse(self.query.get("includeObject"));
        let show: watching::Show = match shape {
            Shape::Plain => None,
            Shape::Partial => Some(Box::new(tables::partial)),
            Shape::Table => Some(Box::new(move |object: &Value| {
                let metadata = json!({"resourceVersion": json::resource_version(object)});
                tables::table(&def, &[Arc::new(object.clone())], include, metadata, crate::clock::now())
            })),
        };
        Ok(respond::stream("application/json", watching::body(watch, show)))
    }

    fn written(&self, written: &Written) -> Response<Reply> {
        let code = if written.created { 201 } else { 200 };
        let mut reply = if self.wanted.subresource == "scale" {
            respond::json(code, &written.object)
        } else {
            self.shown(code, &written.object)
        };
        respond::warn(&mut reply, &written.warnings);
        reply
    }

    async fn post(&self, value: Value) -> Result<Response<Reply>, ApiError> {
        let api = &self.shared.api;
        let (namespace, name) = (self.wanted.namespace.clone().unwrap_or_default(), self.wanted.name.as_str());
        match (&*self.def.resource, self.wanted.subresource.as_str()) {
            ("pods", "binding") => {
                let node = json::text(&value, "/target/name").unwrap_or_default();
                api.bind(self.caller, &namespace, name, node, Some(json::uid(&value)), &self.options).await?;
                Ok(respond::json(201, &success(None)))
            }
            ("pods", "eviction") => {
                let how = delete_options(&value["deleteOptions"], &self.query)?;
                api.evict(self.caller, &namespace, name, &how, &self.options).await?;
                Ok(respond::json(201, &success(None)))
            }
            ("serviceaccounts", "token") => reviews::token(self.shared, &namespace, name, value),
            (_, "") if name.is_empty() => {
                let written = api.create(self.caller, &self.def, self.namespace(), value, &self.options).await?;
                Ok(self.written(&written))
            }
            // The part's refusal says more when there is one.
            _ => Err(self.part().err().unwrap_or_else(|| {
                ApiError::method_not_allowed("the server does not allow this method on the requested resource")
            })),
        }
    }

    async fn patch(&self, bytes: &[u8], content_type: &str) -> Result<Response<Reply>, ApiError> {
        let kind = match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => PatchKind::Json,
            "application/merge-patch+json" => PatchKind::Merge,
            "application/strategic-merge-patch+json" => PatchKind::Strategic,
            "application/apply-patch+yaml" => PatchKind::Apply { force: self.query.flag("force") },
            other => {
                return Err(ApiError::unsupported_media_type(format!(
                    "the body of the request was in an unknown format ({other}) - accepted media types include: \
                     application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
                     application/apply-patch+yaml"
                )));
            }
        };
        if matches!(kind, PatchKind::Apply { .. }) && self.query.get("fieldManager").is_none() {
            return Err(ApiError::bad_request("fieldManager is required for apply patch"));
        }
        let patch = body::parse(
            bytes,
            if matches!(kind, PatchKind::Apply { .. }) { "application/yaml" } else { "application/json" },
        )?;
        let (api, name, part) = (&self.shared.api, &self.wanted.name, self.part()?);
        let written =
            api.patch(self.caller, &self.def, self.namespace(), name, part, kind, &patch, &self.options).await?;
        Ok(self.written(&written))
    }

    async fn delete(&self, value: Value) -> Result<Response<Reply>, ApiError> {
        let api = &self.shared.api;
        let how = delete_options(&value, &self.query)?;
        let mut options = self.options.clone();
        options.dry_run |= json::items(&value, "/dryRun").iter().any(|v| v == "All");
        if self.wanted.name.is_empty() {
            let deleted = api
                .delete_collection(self.caller, &self.def, self.namespace(), &self.selector()?, &how, &options)
                .await?;
            let metadata = json!({"resourceVersion": api.published().to_string()});
            return Ok(respond::json(
                200,
                &json!({"kind": self.def.list_kind, "apiVersion": self.def.api_version(), "metadata": metadata, "items": deleted}),
            ));
        }
        let deleted = api.delete(self.caller, &self.def, self.namespace(), &self.wanted.name, &how, &options).await?;
        if !deleted.gone {
            return Ok(self.shown(200, &deleted.object));
        }
        let mut details = json!({"name": self.wanted.name, "kind": self.def.plural, "uid": json::uid(&deleted.object)});
        if !self.def.group.is_empty() {
            details["group"] = json!(self.def.group);
        }
        Ok(respond::json(200, &success(Some(details))))
    }
}

fn success(details: Option<Value>) -> Value {
    let mut status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"});
    json::assign(&mut status, "details", details);
    status
}

fn delete_options(body: &Value, query: &Query) -> Result<DeleteOptions, ApiError> {
    let from_query = query.number("gracePeriodSeconds")?.and_then(|n| i64::try_from(n).ok());
    let text = |pointer: &str| json::text(body, pointer).map(str::to_owned);
    Ok(DeleteOptions {
        grace_period_seconds: json::integer(body, "/gracePeriodSeconds").or(from_query),
        uid: text("/preconditions/uid"),
        resource_version: text("/preconditions/resourceVersion"),
        propagation: text("/propagationPolicy").or_else(|| query.get("propagationPolicy").map(str::to_owned)),
    })
}
