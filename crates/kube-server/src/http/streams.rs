//! `pods/exec` and `pods/portforward`: checked like every request, then a WebSocket.

use std::future::Future;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde_json::Value;

use super::path::{Query, ResourcePath};
use super::respond::{self, Reply};
use super::{Shared, access, reviews};
use crate::api::Caller;
use crate::error::ApiError;
use crate::field::FieldErrors;
use crate::json;
use crate::node_agent::{ContainerRef, ExecRequest, ExecSession, NodeAgent, Reader};
use crate::streaming::{self, Socket, TUNNEL_PROTOCOL, Upgrade, UpgradeError};

/// Two channels a port, numbered in one byte of which v5 keeps the last value for itself.
const MAX_PORTS: usize = 127;

/// Whether the path is one of the subresources that stream.
pub fn is_stream(wanted: &ResourcePath) -> bool {
    wanted.group.is_empty() && wanted.plural == "pods" && matches!(wanted.subresource.as_str(), "exec" | "portforward")
}

pub fn handle(
    shared: &Arc<Shared>,
    caller: &Caller,
    wanted: &ResourcePath,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Response<Reply>, ApiError> {
    match *request.method() {
        Method::POST => {}
        // A WebSocket's handshake is a GET; without this `get` alone would let a reader run programs
        // (`pkg/registry/core/pod/rest/subresources.go`, AuthorizePodWebsocketUpgradeCreatePermission).
        Method::GET => access::resource(shared, caller, wanted, "create")?,
        _ => {
            return Err(ApiError::method_not_allowed(
                "the server does not allow this method on the requested resource",
            ));
        }
    }
    let namespace = wanted.namespace.as_deref().unwrap_or_default();
    let pod = shared
        .api
        .cache()
        .get("pods", Some(namespace), &wanted.name)
        .ok_or_else(|| ApiError::not_found("pods", &wanted.name))?;
    if json::text(&pod, "/spec/nodeName").unwrap_or_default().is_empty() {
        return Err(ApiError::bad_request(format!("pod {} does not have a host assigned", wanted.name)));
    }
    let agent =
        shared.api.node_agent().ok_or_else(|| ApiError::unavailable("no node serves streams yet; try again"))?;
    if wanted.subresource == "exec" {
        exec(shared, agent, wanted, &pod, query, request)
    } else {
        port_forward(shared, agent, wanted, query, request)
    }
}

fn refused(error: UpgradeError) -> ApiError {
    ApiError::bad_request(format!("unable to upgrade: {error}"))
}

/// Answers the handshake and serves the socket until its end or the server's.
fn switch<F, S>(
    shared: &Shared,
    accepted: Upgrade<F>,
    serve: impl FnOnce(Socket) -> S + Send + 'static,
) -> Response<Reply>
where
    F: Future<Output = Result<Socket, hyper::Error>> + Send + 'static,
    S: Future<Output = ()> + Send,
{
    let mut stopped = shared.stopped.clone();
    let socket = accepted.socket;
    tokio::spawn(async move {
        let served = async {
            match socket.await {
                Ok(socket) => serve(socket).await,
                Err(error) => tracing::debug!(%error, "a client left during the WebSocket's handshake"),
            }
        };
        tokio::select! {
            () = served => {}
            _ = stopped.changed() => {}
        }
    });
    accepted.response.map(|()| respond::full(""))
}

fn exec(
    shared: &Shared,
    agent: Arc<dyn NodeAgent>,
    wanted: &ResourcePath,
    pod: &Value,
    query: &Query,
    mut request: Request<Incoming>,
) -> Result<Response<Reply>, ApiError> {
    let command = query.all("command");
    if command.is_empty() {
        let mut errors = FieldErrors::default();
        errors.required("command", "");
        return Err(ApiError::invalid("PodExecOptions", "", &errors));
    }
    let (stdin, stdout, stderr) = (query.flag("stdin"), query.flag("stdout"), query.flag("stderr"));
    if !(stdin || stdout || stderr) {
        return Err(ApiError::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    let container = reviews::container(pod, query.get("container"))?;
    let phase = json::text(pod, "/status/phase").unwrap_or_default();
    if matches!(phase, "Succeeded" | "Failed") {
        return Err(ApiError::bad_request(format!(
            "cannot exec into a container in a completed pod; current phase is {phase}"
        )));
    }
    let container =
        ContainerRef { namespace: wanted.namespace.clone().unwrap_or_default(), pod: wanted.name.clone(), container };
    let program = ExecRequest { container, command, stdin, tty: query.flag("tty") };
    let accepted = streaming::upgrade(&mut request, streaming::EXEC_PROTOCOLS).map_err(refused)?;
    let serve = move |socket| async move {
        // What goes wrong from here on is told on the error channel, where clients look for it.
        let session = agent.exec(program).await.unwrap_or_else(|error| failed(error.to_string()));
        streaming::serve_exec(socket, only_wanted(session, stdout, stderr)).await;
    };
    Ok(switch(shared, accepted, serve))
}

/// A session that ended before it began.
fn failed(why: String) -> ExecSession {
    let (sender, exit) = tokio::sync::oneshot::channel();
    let _ = sender.send(Err(why));
    ExecSession { stdin: None, stdout: Box::new(tokio::io::empty()), stderr: None, resize: None, exit }
}

/// Output that the client did not ask for is still read: a program that writes to a full pipe would never end.
fn only_wanted(mut session: ExecSession, stdout: bool, stderr: bool) -> ExecSession {
    if !stdout {
        discard(std::mem::replace(&mut session.stdout, Box::new(tokio::io::empty())));
    }
    if !stderr && let Some(unwanted) = session.stderr.take() {
        discard(unwanted);
    }
    session
}

fn discard(mut output: Reader) {
    tokio::spawn(async move { tokio::io::copy(&mut output, &mut tokio::io::sink()).await });
}

fn port_forward(
    shared: &Shared,
    agent: Arc<dyn NodeAgent>,
    wanted: &ResourcePath,
    query: &Query,
    mut request: Request<Incoming>,
) -> Result<Response<Reply>, ApiError> {
    let ports = ports(query)?;
    let accepted = streaming::upgrade(&mut request, streaming::PORT_FORWARD_PROTOCOLS).map_err(refused)?;
    let (namespace, pod) = (wanted.namespace.clone().unwrap_or_default(), wanted.name.clone());
    if accepted.protocol == TUNNEL_PROTOCOL {
        // Every stream of the tunnel names its own port.
        return Ok(switch(shared, accepted, |socket| streaming::serve_tunnel(socket, agent, namespace, pod)));
    }
    if ports.is_empty() {
        return Err(ApiError::bad_request("query parameter \"ports\" is required"));
    }
    Ok(switch(shared, accepted, |socket| streaming::serve_channels(socket, agent, namespace, pod, ports)))
}

/// `ports=80,443` and `ports=80&ports=443`
fn ports(query: &Query) -> Result<Vec<u16>, ApiError> {
    let mut ports = Vec::new();
    for text in query.all("ports").iter().flat_map(|list| list.split(',')) {
        let port = text.trim().parse::<u16>().ok().filter(|port| *port > 0);
        ports.push(port.ok_or_else(|| {
            ApiError::bad_request(format!("unable to parse {text:?} as a port: must be from 1 to 65535"))
        })?);
    }
    if ports.len() > MAX_PORTS {
        return Err(ApiError::bad_request(format!(
            "at most {MAX_PORTS} ports can be forwarded over one connection, not {}",
            ports.len()
        )));
    }
    Ok(ports)
}
