//! The flags of the genuine program that the platform's manifest sets.

use std::net::{IpAddr, SocketAddr};

pub const HELP: &str = "\
marea-kube-state-metrics: a stand-in for kube-state-metrics

  --host=ADDRESS       where to listen (required)
  --port=PORT          for /metrics, /livez, /readyz and /healthz (default: 8080)
  --resources=A,B      of pods, nodes, deployments, horizontalpodautoscalers (all when absent)

Example:
  marea-kube-state-metrics --host=127.0.0.1 --port=8080 --resources=pods,nodes
";

/// What can be watched, by the genuine program's names.
pub const RESOURCES: [&str; 4] = ["deployments", "horizontalpodautoscalers", "nodes", "pods"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    pub listen: SocketAddr,
    pub resources: Vec<String>,
}

impl Flags {
    /// # Errors
    /// A sentence that names the flag that is unknown, missing or wrong.
    pub fn parse(arguments: &[String]) -> Result<Flags, String> {
        let (mut host, mut port) = (None, 8080);
        let mut resources: Vec<String> = RESOURCES.iter().map(ToString::to_string).collect();
        for argument in arguments {
            let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
            match name.trim_start_matches('-') {
                "host" => {
                    host = Some(value.parse::<IpAddr>().map_err(|_| format!("{argument}: expected an address"))?);
                }
                "port" => port = value.parse().map_err(|_| format!("{argument}: expected a port"))?,
                "resources" => resources = value.split(',').map(str::to_owned).collect(),
                _ => return Err(format!("unknown flag {argument:?}; see --help for those of this stand-in")),
            }
        }
        if let Some(unknown) = resources.iter().find(|resource| !RESOURCES.contains(&resource.as_str())) {
            return Err(format!("--resources: `{unknown}` is not among {}", RESOURCES.join(", ")));
        }
        let host = host.ok_or("--host is missing")?;
        Ok(Flags { listen: SocketAddr::new(host, port), resources })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str]) -> Result<Flags, String> {
        Flags::parse(&arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_manifests_flags_are_understood_and_others_refused() {
        let flags = check(&["--host=127.0.0.1", "--port=9", "--resources=pods,nodes"]).expect("valid flags");
        assert_eq!((flags.listen.port(), flags.resources.len()), (9, 2));
        assert!(check(&[]).expect_err("no address").contains("--host"));
        assert!(check(&["--host=x"]).expect_err("bad").contains("expected an address"));
        assert!(check(&["--host=127.0.0.1", "--resources=jobs"]).expect_err("unknown").contains("`jobs`"));
        assert!(check(&["--telemetry-port=1"]).expect_err("unknown").contains("--telemetry-port"));
    }
}
