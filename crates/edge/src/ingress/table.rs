//! From Ingress, IngressClass, Service and EndpointSlice objects to routes and addresses. Pure.

use super::flags::KubernetesIngress;
use super::rules::{HostMatch, PathKind, Rule, sort_by_precedence};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend, IngressClass};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

const CONTROLLER: &str = "traefik.io/ingress-controller";
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const DEFAULT_CLASS: &str = "traefik";
const ROUTER_PREFIX: &str = "traefik.ingress.kubernetes.io/";

#[derive(Default)]
pub struct Objects {
    pub ingresses: Vec<Arc<Ingress>>,
    pub classes: Vec<Arc<IngressClass>>,
    pub services: Vec<Arc<Service>>,
    pub slices: Vec<Arc<EndpointSlice>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub rule: Rule,
    /// Entry points that it serves; all when empty.
    pub entry_points: Vec<String>,
    /// Key in [`Table::services`], as Traefik names it: `namespace-name-port`.
    pub service: String,
}

/// The first route that matches is the right one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub routes: Vec<Route>,
    /// Endpoints that take requests now; empty when there are none.
    pub services: BTreeMap<String, Vec<SocketAddr>>,
    /// What could not be followed, one sentence each.
    pub problems: Vec<String>,
}

impl Table {
    pub fn build(objects: &Objects, flags: &KubernetesIngress) -> Table {
        let mut table = Table::default();
        let mut ingresses: Vec<&Ingress> = objects
            .ingresses
            .iter()
            .map(|ingress| &**ingress)
            .filter(|ingress| is_ours(ingress, objects, flags))
            .collect();
        ingresses.sort_by_key(|ingress| (ingress.metadata.namespace.as_deref(), ingress.metadata.name.as_deref()));
        for ingress in ingresses {
            table.add_ingress(ingress, objects, flags);
        }
        sort_by_precedence(&mut table.routes, |route| &route.rule);
        table
    }

    fn add_ingress(&mut self, ingress: &Ingress, objects: &Objects, flags: &KubernetesIngress) {
        let namespace = ingress.metadata.namespace.as_deref().unwrap_or_default();
        let name = ingress.metadata.name.as_deref().unwrap_or_default();
        let router = match RouterOptions::read(ingress) {
            Ok(router) => router,
            Err(problem) => {
                return self.problems.push(format!("Ingress {namespace}/{name}: {problem}; it is not served"));
            }
        };
        let Some(spec) = &ingress.spec else { return };
        if spec.tls.iter().flatten().next().is_some() {
            self.problems.push(format!(
                "Ingress {namespace}/{name}: TLS is not served here, its rules are served in plain HTTP"
            ));
        }
        if let Some(backend) = &spec.default_backend {
            let rule = Rule {
                host: HostMatch::Any,
                path: Some((PathKind::Prefix, "/".to_owned())),
                priority: Some(i64::from(i32::MIN)),
            };
            self.add_route(rule, backend, namespace, name, &router, objects);
        }
        for rule in spec.rules.iter().flatten() {
            let host = host_match(rule.host.as_deref());
            for path in rule.http.iter().flat_map(|http| &http.paths) {
                let rule =
                    Rule { host: host.clone(), path: path_match(path, &router, flags), priority: router.priority };
                self.add_route(rule, &path.backend, namespace, name, &router, objects);
            }
        }
    }

    fn add_route(
        &mut self,
        rule: Rule,
        backend: &IngressBackend,
        namespace: &str,
        ingress: &str,
        router: &RouterOptions,
        objects: &Objects,
    ) {
        match resolve(backend, namespace, objects) {
            Ok((service, endpoints)) => {
                self.services.insert(service.clone(), endpoints);
                self.routes.push(Route { rule, entry_points: router.entry_points.clone(), service });
            }
            Err(problem) => self.problems.push(format!("Ingress {namespace}/{ingress}: {problem}")),
        }
    }
}

/// What Traefik's router annotations say; those that are not followed refuse the Ingress.
#[derive(Default)]
struct RouterOptions {
    entry_points: Vec<String>,
    priority: Option<i64>,
    exact_by_default: bool,
}

impl RouterOptions {
    fn read(ingress: &Ingress) -> Result<RouterOptions, String> {
        let mut options = RouterOptions::default();
        for (key, value) in ingress.metadata.annotations.iter().flatten() {
            match key.strip_prefix(ROUTER_PREFIX) {
                None => {}
                Some("router.entrypoints") => {
                    options.entry_points = value.split(',').map(|name| name.trim().to_owned()).collect()
                }
                Some("router.priority") => {
                    options.priority =
                        Some(value.parse().map_err(|_| format!("annotation {key}={value:?} is not a number"))?)
                }
                Some("router.pathmatcher") => match value.as_str() {
                    "PathPrefix" => options.exact_by_default = false,
                    "Path" => options.exact_by_default = true,
                    other => return Err(format!("annotation {key}={other:?} is not supported here")),
                },
                Some(_) => return Err(format!("annotation {key} is not supported here")),
            }
        }
        Ok(options)
    }
}

/// Traefik's `shouldProcessIngress`.
fn is_ours(ingress: &Ingress, objects: &Objects, flags: &KubernetesIngress) -> bool {
    if let Some(class) = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_ref()) {
        let ours = |candidate: &Arc<IngressClass>| {
            candidate.spec.as_ref().and_then(|spec| spec.controller.as_deref()) == Some(CONTROLLER)
        };
        let wanted = flags.ingress_class.as_ref().is_none_or(|wanted| wanted == class);
        return wanted
            && objects
                .classes
                .iter()
                .any(|candidate| ours(candidate) && candidate.metadata.name.as_ref() == Some(class));
    }
    let annotation = ingress
        .metadata
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get(CLASS_ANNOTATION))
        .map_or("", String::as_str);
    match &flags.ingress_class {
        Some(wanted) => annotation == wanted,
        None => annotation.is_empty() || annotation == DEFAULT_CLASS,
    }
}

fn host_match(host: Option<&str>) -> HostMatch {
    match host {
        None | Some("") => HostMatch::Any,
        Some(host) => match host.strip_prefix('*') {
            Some(suffix) => HostMatch::Wildcard(suffix.to_owned()),
            None => HostMatch::Exact(host.to_owned()),
        },
    }
}

fn path_match(path: &HTTPIngressPath, router: &RouterOptions, flags: &KubernetesIngress) -> Option<(PathKind, String)> {
    let text = path.path.as_ref().filter(|text| !text.is_empty())?;
    let kind = match path.path_type.as_str() {
        "Exact" => PathKind::Exact,
        "ImplementationSpecific" if router.exact_by_default => PathKind::Exact,
        "Prefix" if flags.strict_prefix_matching => PathKind::StrictPrefix,
        _ => PathKind::Prefix,
    };
    Some((kind, text.clone()))
}

fn resolve(backend: &IngressBackend, namespace: &str, objects: &Objects) -> Result<(String, Vec<SocketAddr>), String> {
    let reference = backend.service.as_ref().ok_or("a backend that is no Service is not supported here")?;
    let of_namespace = |metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
        metadata.namespace.as_deref() == Some(namespace)
    };
    let service = objects
        .services
        .iter()
        .find(|service| of_namespace(&service.metadata) && service.metadata.name.as_deref() == Some(&reference.name))
        .ok_or_else(|| format!("Service {namespace}/{} does not exist", reference.name))?;
    let wanted = reference.port.as_ref();
    let port = service
        .spec
        .iter()
        .flat_map(|spec| spec.ports.iter().flatten())
        .find(|port| match wanted {
            Some(wanted) => wanted.number == Some(port.port) || (wanted.name.is_some() && wanted.name == port.name),
            None => false,
        })
        .ok_or_else(|| format!("Service {namespace}/{} has no such port", reference.name))?;
    let shown = wanted.and_then(|wanted| wanted.name.clone()).unwrap_or_else(|| port.port.to_string());
    let slices = objects.slices.iter().filter(|slice| {
        let of_service = slice.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/service-name"));
        of_namespace(&slice.metadata) && of_service == Some(&reference.name)
    });
    let mut endpoints: Vec<SocketAddr> =
        slices.flat_map(|slice| ready_endpoints(slice, port.name.as_deref())).collect();
    endpoints.sort_unstable();
    endpoints.dedup();
    Ok((format!("{namespace}-{}-{shown}", reference.name), endpoints))
}

/// Ready and not terminating: a pod that leaves gets no request more, although it may still serve some.
fn ready_endpoints(slice: &EndpointSlice, port_name: Option<&str>) -> Vec<SocketAddr> {
    // A Service's port and its slices' share their name; an unnamed one is empty in slices.
    let port = slice
        .ports
        .iter()
        .flatten()
        .find(|port| port.name.as_deref().unwrap_or_default() == port_name.unwrap_or_default());
    let Some(port) = port.and_then(|port| port.port).and_then(|port| u16::try_from(port).ok()) else {
        return Vec::new();
    };
    let takes_requests = |endpoint: &&k8s_openapi::api::discovery::v1::Endpoint| {
        let conditions = endpoint.conditions.as_ref();
        // An absent `ready` means ready, says the API.
        conditions.and_then(|conditions| conditions.ready) != Some(false)
            && conditions.and_then(|conditions| conditions.terminating) != Some(true)
    };
    slice
        .endpoints
        .iter()
        .flatten()
        .filter(takes_requests)
        .flat_map(|endpoint| &endpoint.addresses)
        .filter_map(|address| Some(SocketAddr::new(address.parse().ok()?, port)))
        .collect()
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
