//! Traefik's static configuration, as command-line flags.
//!
//! Flag names are Traefik v3's, without regard to case. What this program does not do is refused by name, so that a
//! manifest never believes in a setting that has no effect.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The entry point that metrics and ping use when none is named; Traefik creates it on port 8080.
const INTERNAL_ENTRY_POINT: &str = "traefik";
const INTERNAL_ADDRESS: &str = ":8080";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPoint {
    pub address: SocketAddr,
    /// After SIGTERM, requests are still accepted for this long.
    pub accept_grace: Duration,
    /// Then what is in flight has this long.
    pub grace: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubernetesIngress {
    /// All namespaces when empty.
    pub namespaces: Vec<String>,
    pub ingress_class: Option<String>,
    /// `namespace/name` of the Service whose load balancer's address goes into the Ingresses' status.
    pub published_service: Option<(String, String)>,
    pub strict_prefix_matching: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    pub entry_points: BTreeMap<String, EntryPoint>,
    pub kubernetes: KubernetesIngress,
    /// Entry points by which metrics and ping are served; absent when they are off.
    pub metrics: Option<String>,
    pub ping: Option<String>,
    pub log_level: String,
    pub log_json: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagError(pub String);

impl std::fmt::Display for FlagError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FlagError {}

fn error<T>(message: String) -> Result<T, FlagError> {
    Err(FlagError(message))
}

#[derive(Default)]
struct Builder {
    addresses: BTreeMap<String, String>,
    accept_grace: BTreeMap<String, Duration>,
    grace: BTreeMap<String, Duration>,
    kubernetes_enabled: bool,
    kubernetes: KubernetesIngress,
    metrics: bool,
    metrics_entry_point: Option<String>,
    ping: bool,
    ping_entry_point: Option<String>,
    log_level: Option<String>,
    log_json: bool,
}

impl Flags {
    /// # Errors
    /// When a flag is unknown, lacks its value or has one that does not parse; the message names the flag.
    pub fn parse<I: IntoIterator<Item = String>>(arguments: I) -> Result<Flags, FlagError> {
        let mut builder = Builder::default();
        let mut arguments = arguments.into_iter().peekable();
        while let Some(argument) = arguments.next() {
            let Some(flag) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else {
                return error(format!("unexpected argument {argument:?}; settings are given as --flag=value"));
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, arguments.next_if(|next| !next.starts_with('-'))),
            };
            builder.set(&name.to_ascii_lowercase(), value.as_deref(), &argument)?;
        }
        builder.finish()
    }
}

impl Builder {
    fn set(&mut self, name: &str, value: Option<&str>, argument: &str) -> Result<(), FlagError> {
        let segments: Vec<&str> = name.split('.').collect();
        match segments[..] {
            // There is no such traffic here, so both settings of it hold.
            ["global", "checknewversion" | "sendanonymoususage"] => off(value, argument)?,
            ["api", ..] => {
                return error(format!("{argument}: Traefik's dashboard is not served here; leave the flag out"));
            }
            ["log", "level"] => self.log_level = Some(text(value, argument)?.to_ascii_lowercase()),
            ["log", "format"] => self.log_json = one_of(value, argument, &["json", "common"])? == "json",
            ["entrypoints", entry_point, "address"] => {
                self.addresses.insert(entry_point.to_owned(), text(value, argument)?.to_owned());
            }
            ["entrypoints", entry_point, "transport", "lifecycle", "requestacceptgracetimeout"] => {
                self.accept_grace.insert(entry_point.to_owned(), duration(value, argument)?);
            }
            ["entrypoints", entry_point, "transport", "lifecycle", "gracetimeout"] => {
                self.grace.insert(entry_point.to_owned(), duration(value, argument)?);
            }
            ["metrics", "prometheus"] => self.metrics = boolean(value, argument)?,
            ["metrics", "prometheus", "entrypoint"] => {
                (self.metrics, self.metrics_entry_point) = (true, Some(text(value, argument)?.to_owned()))
            }
            ["ping"] => self.ping = boolean(value, argument)?,
            ["ping", "entrypoint"] => {
                (self.ping, self.ping_entry_point) = (true, Some(text(value, argument)?.to_owned()))
            }
            ["providers", "kubernetesingress"] => self.kubernetes_enabled = boolean(value, argument)?,
            ["providers", "kubernetesingress", option] => {
                self.kubernetes_enabled = true;
                self.kubernetes(option, None, value, argument)?;
            }
            ["providers", "kubernetesingress", option, suboption] => {
                self.kubernetes_enabled = true;
                self.kubernetes(option, Some(suboption), value, argument)?;
            }
            _ => {
                return error(format!(
                    "unknown flag {argument:?}; this stand-in for Traefik has what the platform's manifests use, see docs/fidelity.md"
                ));
            }
        }
        Ok(())
    }

    fn kubernetes(
        &mut self,
        option: &str,
        suboption: Option<&str>,
        value: Option<&str>,
        argument: &str,
    ) -> Result<(), FlagError> {
        match (option, suboption) {
            ("namespaces", None) => {
                self.kubernetes.namespaces =
                    text(value, argument)?.split(',').map(|namespace| namespace.trim().to_owned()).collect()
            }
            ("ingressclass", None) => self.kubernetes.ingress_class = Some(text(value, argument)?.to_owned()),
            ("strictprefixmatching", None) => self.kubernetes.strict_prefix_matching = boolean(value, argument)?,
            ("ingressendpoint", Some("publishedservice")) => match text(value, argument)?.split_once('/') {
                Some((namespace, name)) => {
                    self.kubernetes.published_service = Some((namespace.to_owned(), name.to_owned()))
                }
                None => return error(format!("{argument}: expected NAMESPACE/NAME of a Service")),
            },
            _ => {
                return error(format!(
                    "unknown flag {argument:?}; this stand-in for Traefik has what the platform's manifests use, see docs/fidelity.md"
                ));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Flags, FlagError> {
        if !self.kubernetes_enabled {
            return error("no provider is on; set --providers.kubernetesingress=true".to_owned());
        }
        let metrics =
            self.metrics.then(|| self.metrics_entry_point.take().unwrap_or_else(|| INTERNAL_ENTRY_POINT.to_owned()));
        let ping = self.ping.then(|| self.ping_entry_point.take().unwrap_or_else(|| INTERNAL_ENTRY_POINT.to_owned()));
        if metrics.iter().chain(&ping).any(|name| name == INTERNAL_ENTRY_POINT) {
            self.addresses.entry(INTERNAL_ENTRY_POINT.to_owned()).or_insert_with(|| INTERNAL_ADDRESS.to_owned());
        }
        for name in metrics.iter().chain(&ping).chain(self.accept_grace.keys()).chain(self.grace.keys()) {
            if !self.addresses.contains_key(name) {
                return error(format!("entry point {name:?} has no address; set --entrypoints.{name}.address"));
            }
        }
        let mut entry_points = BTreeMap::new();
        for (name, address) in &self.addresses {
            // Traefik's defaults: stop accepting at once, then ten seconds for what is in flight.
            let accept_grace = self.accept_grace.get(name).copied().unwrap_or_default();
            let grace = self.grace.get(name).copied().unwrap_or(Duration::from_secs(10));
            entry_points
                .insert(name.clone(), EntryPoint { address: socket_address(name, address)?, accept_grace, grace });
        }
        if entry_points.is_empty() {
            return error("no entry point; set --entrypoints.web.address=:80".to_owned());
        }
        let log_level = self.log_level.unwrap_or_else(|| "error".to_owned());
        Ok(Flags { entry_points, kubernetes: self.kubernetes, metrics, ping, log_level, log_json: self.log_json })
    }
}

fn text<'a>(value: Option<&'a str>, argument: &str) -> Result<&'a str, FlagError> {
    match value {
        Some(value) if !value.is_empty() => Ok(value),
        _ => error(format!("{argument}: a value is missing")),
    }
}

fn boolean(value: Option<&str>, argument: &str) -> Result<bool, FlagError> {
    match value {
        None | Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => error(format!("{argument}: {other:?} is neither true nor false")),
    }
}

fn off(value: Option<&str>, argument: &str) -> Result<(), FlagError> {
    if boolean(value, argument)? {
        error(format!("{argument}: nothing is ever sent from here; set it to false"))
    } else {
        Ok(())
    }
}

fn one_of<'a>(value: Option<&'a str>, argument: &str, allowed: &[&str]) -> Result<&'a str, FlagError> {
    let value = text(value, argument)?;
    if allowed.contains(&value) {
        Ok(value)
    } else {
        error(format!("{argument}: expected one of {}", allowed.join(", ")))
    }
}

/// As Go writes durations, or a plain number of seconds.
fn duration(value: Option<&str>, argument: &str) -> Result<Duration, FlagError> {
    let value = text(value, argument)?;
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds_per_unit = match &value[digits.len()..] {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return error(format!("{argument}: {value:?} is not a duration such as 10s")),
    };
    match digits.parse::<f64>().map(|number| Duration::try_from_secs_f64(number * seconds_per_unit)) {
        Ok(Ok(duration)) => Ok(duration),
        _ => error(format!("{argument}: {value:?} is not a duration such as 10s")),
    }
}

/// `:80` listens on every address; `/tcp` may follow.
fn socket_address(name: &str, address: &str) -> Result<SocketAddr, FlagError> {
    let plain = address.strip_suffix("/tcp").unwrap_or(address);
    let parsed = match plain.strip_prefix(':') {
        Some(port) => port.parse().ok().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)),
        None => plain.parse().ok(),
    };
    parsed.map_or_else(|| error(format!("--entrypoints.{name}.address={address}: expected ADDRESS:PORT")), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str]) -> Result<Flags, String> {
        Flags::parse(arguments.iter().map(|argument| (*argument).to_owned())).map_err(|error| error.0)
    }

    #[test]
    fn the_manifests_flags_are_understood() {
        let flags = check(&[
            "--global.checknewversion=false",
            "--log.level=INFO",
            "--entrypoints.web.address=127.0.0.1:8000",
            "--entrypoints.web.transport.lifecycle.requestacceptgracetimeout=10s",
            "--entrypoints.web.transport.lifecycle.graceTimeOut=30",
            "--entrypoints.metrics.address=:9100",
            "--metrics.prometheus.entrypoint=metrics",
            "--ping",
            "--ping.entrypoint=metrics",
            "--providers.kubernetesIngress.namespaces=platform,ingress",
            "--providers.kubernetesingress.ingressendpoint.publishedservice=ingress/traefik",
        ])
        .expect("valid flags");
        assert_eq!(flags.entry_points["web"].accept_grace, Duration::from_secs(10));
        assert_eq!(flags.entry_points["web"].grace, Duration::from_secs(30));
        assert_eq!(flags.entry_points["metrics"].address.to_string(), "0.0.0.0:9100");
        assert_eq!((flags.metrics.as_deref(), flags.ping.as_deref()), (Some("metrics"), Some("metrics")));
        assert_eq!(flags.kubernetes.namespaces, ["platform", "ingress"]);
        assert_eq!(flags.log_level, "info");
    }

    #[test]
    fn metrics_without_an_entry_point_get_traefiks_own() {
        let flags = check(&["--entrypoints.web.address=:80", "--metrics.prometheus", "--providers.kubernetesingress"])
            .expect("valid flags");
        assert_eq!(flags.entry_points["traefik"].address.port(), 8080);
    }

    /// Differs (Ingress): `marea-ingress` stands in for Traefik v3 and takes the flags that the manifests use; TLS, the
    /// dashboard and other providers are refused by name.
    #[test]
    fn what_is_not_done_is_refused_by_name() {
        for (argument, part) in [
            ("--providers.docker=true", "unknown flag \"--providers.docker=true\""),
            ("--providers.kubernetesingress.labelselector=a", "unknown flag"),
            ("--entrypoints.web.http.tls=true", "unknown flag"),
            ("--api.insecure=true", "dashboard"),
            ("--global.sendanonymoususage=true", "set it to false"),
            ("--log.format=xml", "json, common"),
            ("--entrypoints.web.transport.lifecycle.gracetimeout=soon", "not a duration"),
            ("--ping.entrypoint=nowhere", "has no address"),
            ("serve", "unexpected argument"),
        ] {
            let message = check(&["--entrypoints.web.address=:80", "--providers.kubernetesingress=true", argument])
                .expect_err(argument);
            assert!(message.contains(part), "{argument}: {message}");
        }
        assert!(
            check(&["--entrypoints.web.address=:80"]).expect_err("no provider").contains("providers.kubernetesingress")
        );
        assert!(
            check(&["--entrypoints.web.address=web:x", "--providers.kubernetesingress"])
                .expect_err("address")
                .contains("ADDRESS:PORT")
        );
    }
}
