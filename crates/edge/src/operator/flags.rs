//! The flags of the genuine operator that the platform's manifest sets.

use std::net::SocketAddr;

pub const HELP: &str = "\
marea-prometheus-operator: a stand-in for the prometheus-operator

  --web.listen-address=ADDRESS:PORT        for health and target discovery (required)
  --prometheus-instance-namespaces=A,B     where Prometheus objects are followed (all when absent)
  --kubelet-service=NAMESPACE/NAME         the Service by which ServiceMonitors name the kubelets
  --kubelet-endpointslice                  accepted: here the targets are served, no slice is made
  --prometheus-config-reloader=IMAGE       accepted: here a changed configuration restarts Prometheus, no reloader runs

Environment: POD_NAMESPACE, the namespace of the operator's own Service (default: monitoring).

Example:
  marea-prometheus-operator --web.listen-address=127.0.0.1:8080 --prometheus-instance-namespaces=monitoring
";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    pub listen: SocketAddr,
    pub namespaces: Vec<String>,
    /// `namespace/name`
    pub kubelet_service: Option<String>,
}

impl Flags {
    /// # Errors
    /// A sentence that names the flag that is unknown, missing or wrong.
    pub fn parse(arguments: &[String]) -> Result<Flags, String> {
        let (mut listen, mut namespaces, mut kubelet_service) = (None, Vec::new(), None);
        for argument in arguments {
            let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
            match name.trim_start_matches('-') {
                "web.listen-address" => {
                    listen = Some(value.parse().map_err(|_| format!("{argument}: expected ADDRESS:PORT"))?)
                }
                "prometheus-instance-namespaces" => {
                    namespaces = value.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
                }
                "kubelet-service" => {
                    let parts =
                        value.split_once('/').filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty());
                    parts.ok_or_else(|| format!("{argument}: expected NAMESPACE/NAME"))?;
                    kubelet_service = Some(value.to_owned());
                }
                "prometheus-config-reloader" | "kubelet-endpointslice" => {}
                _ => return Err(format!("unknown flag {argument:?}; see --help for those of this stand-in")),
            }
        }
        let listen = listen.ok_or("--web.listen-address is missing")?;
        Ok(Flags { listen, namespaces, kubelet_service })
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
        let flags = check(&[
            "--web.listen-address=127.0.0.1:8080",
            "--prometheus-config-reloader=x",
            "--prometheus-instance-namespaces=monitoring",
            "--kubelet-service=kube-system/kubelet",
            "--kubelet-endpointslice=true",
        ])
        .expect("valid flags");
        assert_eq!(flags.namespaces, ["monitoring"]);
        assert_eq!(flags.kubelet_service.as_deref(), Some("kube-system/kubelet"));
        assert!(check(&[]).expect_err("no address").contains("web.listen-address"));
        assert!(check(&["--web.listen-address=x:1", "--namespaces=a"]).expect_err("bad").contains("ADDRESS:PORT"));
        assert!(check(&["--kubelet-service=kubelet"]).expect_err("no namespace").contains("NAMESPACE/NAME"));
        assert!(check(&["--kubelet-selector=a"]).expect_err("unknown").contains("--kubelet-selector"));
    }
}
