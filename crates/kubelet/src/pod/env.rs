//! The environment of a container, in upstream's order (`makeEnvironmentVariables` of Kubernetes 1.36): Services, then
//! `envFrom`, then `env`, each winning over those before.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVar, EnvVarSource, Secret, Service};
use kube_server::Client;

use super::downward::Facts;
use super::expand::expand;

pub(crate) type Env = BTreeMap<String, String>;

/// # Errors
/// A reference that is not there, worded as upstream's `CreateContainerConfigError`.
pub(crate) fn build(
    client: &Client,
    facts: &Facts<'_>,
    container: &Container,
    api: std::net::SocketAddr,
) -> Result<Env, String> {
    let namespace = facts.pod.metadata.namespace.as_deref().unwrap_or_default();
    let links = facts.pod.spec.as_ref().and_then(|spec| spec.enable_service_links).unwrap_or(true);
    let services = if links { service_links(&client.list::<Service>(Some(namespace))) } else { Env::new() };
    let mut env = services;
    // The API server's own address: the cluster address needs a port below 1024, which an ordinary user cannot bind.
    env.insert("KUBERNETES_SERVICE_HOST".into(), api.ip().to_string());
    env.insert("KUBERNETES_SERVICE_PORT".into(), api.port().to_string());
    env.insert("KUBERNETES_SERVICE_PORT_HTTPS".into(), api.port().to_string());
    env.insert("KUBERNETES_PORT".into(), format!("tcp://{api}"));
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or("");
        let mut add = |data: Env| env.extend(data.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)));
        if let Some(reference) = &source.config_map_ref {
            let optional = reference.optional.unwrap_or(false);
            add(config_map(client, namespace, &reference.name, optional)?.unwrap_or_default());
        }
        if let Some(reference) = &source.secret_ref {
            let optional = reference.optional.unwrap_or(false);
            add(secret(client, namespace, &reference.name, optional)?.unwrap_or_default());
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value_of(client, facts, container, variable, &env)? {
            env.insert(variable.name.clone(), value);
        }
    }
    Ok(env)
}

fn value_of(
    client: &Client,
    facts: &Facts<'_>,
    container: &Container,
    variable: &EnvVar,
    env: &Env,
) -> Result<Option<String>, String> {
    let Some(source) = &variable.value_from else {
        let text = variable.value.as_deref().unwrap_or("");
        return Ok(Some(expand(text, |name| env.get(name).cloned())));
    };
    from_source(client, facts, container, source)
}

fn from_source(
    client: &Client,
    facts: &Facts<'_>,
    container: &Container,
    source: &EnvVarSource,
) -> Result<Option<String>, String> {
    let namespace = facts.pod.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(selector) = &source.field_ref {
        return facts.field(selector).map(Some);
    }
    if let Some(selector) = &source.resource_field_ref {
        return facts.resource(selector, Some(container)).map(Some);
    }
    if let Some(selector) = &source.config_map_key_ref {
        let optional = selector.optional.unwrap_or(false);
        let data = config_map(client, namespace, &selector.name, optional)?;
        return key(data, &selector.key, optional, || {
            format!("couldn't find key {} in ConfigMap {namespace}/{}", selector.key, selector.name)
        });
    }
    if let Some(selector) = &source.secret_key_ref {
        let optional = selector.optional.unwrap_or(false);
        let data = secret(client, namespace, &selector.name, optional)?;
        return key(data, &selector.key, optional, || {
            format!("couldn't find key {} in Secret {namespace}/{}", selector.key, selector.name)
        });
    }
    Err("valueFrom has a source that is not supported; use fieldRef, resourceFieldRef, configMapKeyRef or secretKeyRef"
        .into())
}

fn key(data: Option<Env>, key: &str, optional: bool, missing: impl Fn() -> String) -> Result<Option<String>, String> {
    match data.and_then(|mut data| data.remove(key)) {
        None if !optional => Err(missing()),
        found => Ok(found),
    }
}

fn config_map(client: &Client, namespace: &str, name: &str, optional: bool) -> Result<Option<Env>, String> {
    match client.get::<ConfigMap>(Some(namespace), name) {
        Some(map) => Ok(Some(map.data.clone().unwrap_or_default())),
        None if optional => Ok(None),
        None => Err(format!("configmap {name:?} not found")),
    }
}

fn secret(client: &Client, namespace: &str, name: &str, optional: bool) -> Result<Option<Env>, String> {
    match client.get::<Secret>(Some(namespace), name) {
        Some(secret) => {
            let text = |(key, bytes): (&String, &k8s_openapi::ByteString)| {
                (key.clone(), String::from_utf8_lossy(&bytes.0).into_owned())
            };
            Ok(Some(secret.data.iter().flatten().map(text).collect()))
        }
        None if optional => Ok(None),
        None => Err(format!("secret {name:?} not found")),
    }
}

/// Docker-style variables of the namespace's Services (pkg/kubelet/envvars).
fn service_links(services: &[std::sync::Arc<Service>]) -> Env {
    let mut env = Env::new();
    for service in services {
        let Some(spec) = &service.spec else { continue };
        let Some(ip) = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None") else { continue };
        let ports = spec.ports.as_deref().unwrap_or_default();
        let Some(first) = ports.first() else { continue };
        // What a program is told must be what it can dial; the variables' names keep the Service's own port.
        let served = |port: i32| match (ip.parse(), u16::try_from(port)) {
            (Ok(ip), Ok(port)) => i32::from(network::ports::served(ip, port)),
            _ => port,
        };
        let name = service.metadata.name.as_deref().unwrap_or_default().to_uppercase().replace('-', "_");
        env.insert(format!("{name}_SERVICE_HOST"), ip.to_owned());
        env.insert(format!("{name}_SERVICE_PORT"), served(first.port).to_string());
        for port in ports {
            if let Some(port_name) = &port.name {
                env.insert(
                    format!("{name}_SERVICE_PORT_{}", port_name.to_uppercase().replace('-', "_")),
                    served(port.port).to_string(),
                );
            }
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            let prefix = format!("{name}_PORT_{}_{protocol}", port.port);
            let url = format!("{}://{ip}:{}", protocol.to_lowercase(), served(port.port));
            env.entry(format!("{name}_PORT")).or_insert_with(|| url.clone());
            env.insert(prefix.clone(), url);
            env.insert(format!("{prefix}_PROTO"), protocol.to_lowercase());
            env.insert(format!("{prefix}_PORT"), served(port.port).to_string());
            env.insert(format!("{prefix}_ADDR"), ip.to_owned());
        }
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn services_become_variables() {
        let service: Service = serde_json::from_value(json!({
            "metadata": {"name": "my-web"}, "spec": {"clusterIP": "127.16.0.9", "ports": [{"name": "http", "port": 80}]},
        }))
        .unwrap();
        let env = service_links(&[service.into()]);
        assert_eq!(env["MY_WEB_SERVICE_HOST"], "127.16.0.9");
        // Another port where this user may not bind the Service's own.
        let port = network::ports::served(std::net::Ipv4Addr::new(127, 16, 0, 9), 80);
        assert_eq!(env["MY_WEB_SERVICE_PORT_HTTP"], port.to_string());
        assert_eq!(env["MY_WEB_PORT_80_TCP"], format!("tcp://127.16.0.9:{port}"));
        assert_eq!(env["MY_WEB_PORT"], format!("tcp://127.16.0.9:{port}"));
    }
}
