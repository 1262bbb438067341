//! Startup, readiness and liveness probes (pkg/kubelet/prober/worker.go of Kubernetes 1.36).
//!
//! One nicety is local: while a startup or readiness probe of a young container has not succeeded yet, it is tried every
//! 100 ms between its periods. Such a try can only succeed early; its failures count for nothing.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, GRPCAction, Probe};
use tokio::time::Instant;

use super::hooks::{self, Reach};
use super::{grpc, http};
use crate::process::RunSpec;

const EAGER_PERIOD: Duration = Duration::from_millis(100);
const EAGER_UNTIL_AGE: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Startup,
    Readiness,
    Liveness,
}

impl Kind {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Readiness => "Readiness",
            Kind::Liveness => "Liveness",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The probe's verdict changed.
    Verdict { healthy: bool },
    /// One try failed; for an event.
    Failure { message: String },
}

/// What a probe needs to know of its container.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub container: Container,
    pub spec: Option<RunSpec>,
    pub reach: Reach,
}

pub(crate) fn of(container: &Container, kind: Kind) -> Option<&Probe> {
    match kind {
        Kind::Startup => container.startup_probe.as_ref(),
        Kind::Readiness => container.readiness_probe.as_ref(),
        Kind::Liveness => container.liveness_probe.as_ref(),
    }
}

fn seconds(value: Option<i32>, default: i32) -> Duration {
    Duration::from_secs(u64::try_from(value.unwrap_or(default)).unwrap_or(0))
}

/// Probes for as long as it is polled. A startup probe ends with its first verdict.
pub(crate) async fn run(kind: Kind, probe: Probe, target: Target, mut report: impl FnMut(Report)) {
    let period = seconds(probe.period_seconds, 10).max(Duration::from_secs(1));
    let failure_threshold = probe.failure_threshold.unwrap_or(3).max(1);
    let success_threshold = probe.success_threshold.unwrap_or(1).max(1);
    // Liveness is healthy and the others are not until their first verdict.
    let mut healthy = kind == Kind::Liveness;
    let (mut successes, mut failures) = (0, 0);
    let started = Instant::now();
    tokio::time::sleep(seconds(probe.initial_delay_seconds, 0)).await;
    let mut due = Instant::now();
    loop {
        let scheduled = Instant::now() >= due;
        let result = once(&probe, &target).await;
        if result.is_ok() || scheduled {
            match result {
                Ok(()) => (successes, failures) = (successes + 1, 0),
                Err(message) => {
                    (successes, failures) = (0, failures + 1);
                    report(Report::Failure { message });
                }
            }
            due = due.max(Instant::now() - period) + period;
        }
        if successes >= success_threshold && !healthy {
            healthy = true;
            report(Report::Verdict { healthy });
            if kind == Kind::Startup {
                return;
            }
        } else if failures >= failure_threshold && (healthy || (kind == Kind::Startup && failures == failure_threshold))
        {
            healthy = false;
            report(Report::Verdict { healthy });
            if kind != Kind::Readiness {
                return;
            }
        }
        let eager =
            !healthy && kind != Kind::Liveness && failures < failure_threshold && started.elapsed() < EAGER_UNTIL_AGE;
        let next = if eager { due.min(Instant::now() + EAGER_PERIOD) } else { due };
        tokio::time::sleep_until(next).await;
    }
}

async fn once(probe: &Probe, target: &Target) -> Result<(), String> {
    let timeout = seconds(probe.timeout_seconds, 1).max(Duration::from_secs(1));
    if let Some(action) = &probe.http_get {
        let status =
            http::get(&hooks::request(action, &target.container, target.reach.ip)?, &target.reach.dialer, timeout)
                .await?;
        return if (200..400).contains(&status) {
            Ok(())
        } else {
            Err(format!("HTTP probe failed with statuscode: {status}"))
        };
    }
    if let Some(action) = &probe.tcp_socket {
        let host = action.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| target.reach.ip.to_string());
        let port = hooks::port(&action.port, &target.container)?;
        return match tokio::time::timeout(timeout, http::connect(&host, port, &target.reach.dialer)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("dial tcp {host}:{port}: {error}")),
            Err(_) => Err(format!("dial tcp {host}:{port}: i/o timeout")),
        };
    }
    if let Some(action) = &probe.grpc {
        return grpc(action, target, timeout).await;
    }
    if let (Some(action), Some(spec)) = (&probe.exec, &target.spec) {
        let (code, text) = hooks::exec(spec, action.command.as_deref().unwrap_or_default(), Some(timeout)).await?;
        return if code == 0 { Ok(()) } else { Err(format!("command exited with {code}: {text}")) };
    }
    Err("the probe has no handler; give httpGet, tcpSocket, grpc or exec".into())
}

async fn grpc(action: &GRPCAction, target: &Target, timeout: Duration) -> Result<(), String> {
    let host = target.reach.ip.to_string();
    let port = u16::try_from(action.port).map_err(|_| format!("couldn't find port: {}", action.port))?;
    let service = action.service.as_deref().unwrap_or_default();
    let asking = async {
        let mut stream = http::connect(&host, port, &target.reach.dialer)
            .await
            .map_err(|error| format!("error: failed to connect service \"{host}:{port}\": {error}"))?;
        grpc::check(&mut stream, &format!("{host}:{port}"), service).await
    };
    tokio::time::timeout(timeout, asking)
        .await
        .unwrap_or_else(|_| Err(format!("timeout: health rpc did not complete within {timeout:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn liveness_fails_after_its_threshold_and_reports_each_failure() {
        let container: Container =
            serde_json::from_value(json!({"name": "c", "ports": [{"name": "http", "containerPort": 1}]})).unwrap();
        let probe: Probe =
            serde_json::from_value(json!({"periodSeconds": 2, "failureThreshold": 3, "initialDelaySeconds": 5}))
                .unwrap();
        let target = Target {
            container,
            spec: None,
            reach: Reach { ip: std::net::Ipv4Addr::LOCALHOST, dialer: network::dial::Dialer::Host },
        };
        let started = Instant::now();
        let mut reports = Vec::new();
        run(Kind::Liveness, probe, target, |report| reports.push((started.elapsed().as_secs(), report))).await;
        let failures: Vec<u64> =
            reports.iter().filter(|(_, report)| matches!(report, Report::Failure { .. })).map(|(at, _)| *at).collect();
        assert_eq!(failures, [5, 7, 9]);
        assert_eq!(reports.last(), Some(&(9, Report::Verdict { healthy: false })));
    }

    /// Differs (Kubelet): Until a pod of less than 15 s is ready, its startup and readiness probes are tried every 100
    /// ms, so that a platform is up in a second; failures of the extra tries do not count.
    #[tokio::test]
    async fn an_early_success_makes_ready_before_the_period_is_over() {
        let probe_socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = probe_socket.local_addr().unwrap().port();
        let container: Container = serde_json::from_value(json!({"name": "c"})).unwrap();
        let probe: Probe = serde_json::from_value(json!({"tcpSocket": {"port": port}, "periodSeconds": 3600})).unwrap();
        let target = Target {
            container,
            spec: None,
            reach: Reach { ip: std::net::Ipv4Addr::LOCALHOST, dialer: network::dial::Dialer::Host },
        };
        let (sender, mut reports) = tokio::sync::mpsc::unbounded_channel();
        let running = tokio::spawn(run(Kind::Readiness, probe, target, move |report| drop(sender.send(report))));
        assert_eq!(reports.recv().await, Some(Report::Verdict { healthy: true }));
        running.abort();
    }

    /// A certificate of nobody in particular will do.
    #[tokio::test]
    async fn an_https_probe_asks_whoever_answers() {
        let key = rcgen::generate_simple_self_signed(vec!["elsewhere.example".to_owned()]).unwrap();
        let provider = std::sync::Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], key.signing_key.into())
            .unwrap();
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
            for status in ["204 No Content", "503 Service Unavailable"] {
                let mut stream = acceptor.accept(socket.accept().await.unwrap().0).await.unwrap();
                let mut request = [0; 1024];
                assert!(tokio::io::AsyncReadExt::read(&mut stream, &mut request).await.unwrap() > 0);
                let answer = format!("HTTP/1.1 {status}\r\n\r\n");
                tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await.unwrap();
                tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
            }
        });
        let probe: Probe =
            serde_json::from_value(json!({"httpGet": {"port": port, "scheme": "HTTPS"}, "timeoutSeconds": 20}))
                .unwrap();
        let target = Target {
            container: serde_json::from_value(json!({"name": "c"})).unwrap(),
            spec: None,
            reach: Reach { ip: std::net::Ipv4Addr::LOCALHOST, dialer: network::dial::Dialer::Host },
        };
        assert_eq!(once(&probe, &target).await, Ok(()));
        assert_eq!(once(&probe, &target).await, Err("HTTP probe failed with statuscode: 503".to_owned()));
        serving.await.unwrap();
    }
}
