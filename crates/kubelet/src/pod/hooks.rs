//! Handlers of probes and lifecycle hooks: a command, an HTTP request, a TCP connection, a pause.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use network::dial::Dialer;

use super::http::{self, Get};
use crate::process::RunSpec;

/// How a pod is reached.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub ip: Ipv4Addr,
    pub dialer: Dialer,
}

/// Prepares a request from its action.
///
/// # Errors
/// When the port is unknown.
pub(crate) fn request(action: &HTTPGetAction, container: &Container, pod_ip: Ipv4Addr) -> Result<Get, String> {
    let path = action.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    Ok(Get {
        tls: action.scheme.as_deref() == Some("HTTPS"),
        host: action.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| pod_ip.to_string()),
        port: port(&action.port, container)?,
        path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
        headers: action
            .http_headers
            .iter()
            .flatten()
            .map(|header| (header.name.clone(), header.value.clone()))
            .collect(),
    })
}

/// # Errors
/// When a named port is not among the container's.
pub(crate) fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|candidate| candidate.name.as_deref() == Some(name));
            named.map(|port| port.container_port).or_else(|| name.parse().ok())
        }
    };
    number.and_then(|number| u16::try_from(number).ok()).ok_or_else(|| format!("couldn't find port: {port:?}"))
}

/// Runs a command in a container's environment; its exit code and the beginning of what it printed.
pub(crate) async fn exec(
    spec: &RunSpec,
    command: &[String],
    timeout: Option<Duration>,
) -> Result<(i32, String), String> {
    let program = command.first().ok_or("the command is empty")?;
    let prepared = spec.beside(command).map_err(|error| format!("cannot run `{program}`: {error}"))?;
    let child = tokio::process::Command::from(prepared)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot run `{program}`: {error}"))?;
    let finished = child.wait_with_output();
    let output = match timeout {
        Some(timeout) => tokio::time::timeout(timeout, finished)
            .await
            .map_err(|_| format!("command {:?} timed out: command timed out after {timeout:?}", command.join(" ")))?,
        None => finished.await,
    };
    let output = output.map_err(|error| format!("cannot run `{program}`: {error}"))?;
    let text: String = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).chars().take(1024).collect();
    Ok((output.status.code().unwrap_or(137), text))
}

/// Runs a `preStop` or `postStart` handler to its end.
///
/// # Errors
/// Why the hook failed.
pub(crate) async fn run(
    handler: &LifecycleHandler,
    container: &Container,
    spec: Option<&RunSpec>,
    reach: &Reach,
) -> Result<(), String> {
    if let Some(sleep) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    if let Some(action) = &handler.http_get {
        let status = http::get(&request(action, container, reach.ip)?, &reach.dialer, Duration::from_secs(60)).await?;
        return if status < 400 { Ok(()) } else { Err(format!("HTTP hook failed with status {status}")) };
    }
    if let (Some(action), Some(spec)) = (&handler.exec, spec) {
        let (code, text) = exec(spec, action.command.as_deref().unwrap_or_default(), None).await?;
        return if code == 0 { Ok(()) } else { Err(format!("Exec lifecycle hook exited with {code}: {text}")) };
    }
    Err("the hook has no handler that is supported; use exec, httpGet or sleep".into())
}
