//! Waiting until the platform answers people.

use std::time::{Duration, Instant};

use stack::Reporter;
use stack::cluster::{Cluster, kind};

use crate::error::{CliError, Result};
use crate::session::Session;

const PATIENCE: Duration = Duration::from_secs(180);

/// The platform's address. After a change it is given back only when every one of `paths` answers; without one nobody waits.
pub async fn wait(
    session: &Session,
    cluster: &Cluster,
    paths: [&str; 2],
    changed: bool,
    reporter: &dyn Reporter,
) -> Result<Option<String>> {
    if !changed {
        return address(session, cluster).await;
    }
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .map_err(|error| CliError::failed(format!("no HTTP client could be made: {error}")))?;
    let start = Instant::now();
    let mut pause = Duration::from_millis(15);
    let mut last = "it has no address yet".to_owned();
    while start.elapsed() < PATIENCE {
        if let Some(url) = address(session, cluster).await? {
            match probe(&client, &url, paths).await {
                Ok(()) => return Ok(Some(url)),
                Err(problem) => last = problem,
            }
        }
        reporter.status(&format!("deploy: waiting for the platform to answer ({last})"));
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_millis(250));
    }
    Err(CliError::failed(format!(
        "the platform does not answer {} s after it was rolled out: {last}",
        PATIENCE.as_secs()
    ))
    .advice(
        "`marea status` shows pods and autoscalers; `kubectl -n ingress logs deploy/traefik` what the ingress says.",
    ))
}

async fn probe(client: &reqwest::Client, url: &str, paths: [&str; 2]) -> std::result::Result<(), String> {
    for path in paths {
        let address = format!("{}{path}", url.trim_end_matches('/'));
        match client.get(&address).send().await {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => return Err(format!("{address} answers {}", response.status().as_u16())),
            Err(error) => {
                return Err(format!("{address}: {}", if error.is_timeout() { "no answer" } else { "no connection" }));
            }
        }
    }
    Ok(())
}

/// What the cloud says, else the load balancer's address.
pub async fn address(session: &Session, cluster: &Cluster) -> Result<Option<String>> {
    if session.is_embedded {
        // The ingress may have taken another port since the cloud started.
        return Ok(crate::cloud::running()?.console_url.or_else(|| session.console_url.clone()));
    }
    load_balancer(cluster).await
}

/// What a cluster gave the ingress' Service.
pub async fn load_balancer(cluster: &Cluster) -> Result<Option<String>> {
    let Some(services) = kind("v1", "Service") else { return Ok(None) };
    let services = cluster.list_in(services, Some("ingress"), "").await?;
    let ingress = services.iter().find_map(|service| service.pointer("/status/loadBalancer/ingress/0"));
    let host = ingress.and_then(|ingress| ingress["ip"].as_str().or_else(|| ingress["hostname"].as_str()));
    Ok(host.map(|host| format!("http://{host}")))
}
