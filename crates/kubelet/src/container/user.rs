//! Who a container runs as and what it may do.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, SecurityContext};

/// containerd's default set (pkg/oci/spec.go of containerd 2).
const DEFAULT_CAPABILITIES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// `CAP_…`, sorted.
    pub capabilities: Vec<String>,
    pub no_new_privileges: bool,
    pub read_only_root: bool,
    pub seccomp: bool,
}

/// # Errors
/// What the kubelet refuses (pkg/kubelet/kuberuntime/security_context_others.go of 1.36), word for word.
pub(crate) fn user(pod: &Pod, container: &Container) -> Result<Identity, String> {
    let none = (PodSecurityContext::default(), SecurityContext::default());
    let pods = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref()).unwrap_or(&none.0);
    let own = container.security_context.as_ref().unwrap_or(&none.1);
    let id =
        |value: Option<i64>| u32::try_from(value.unwrap_or(0)).map_err(|_| "a user or group id is negative".to_owned());
    let (uid, gid) = (id(own.run_as_user.or(pods.run_as_user))?, id(own.run_as_group.or(pods.run_as_group))?);
    if own.run_as_non_root.or(pods.run_as_non_root) == Some(true) && uid == 0 {
        return Err(format!(
            "container has runAsNonRoot and image will run as root (pod: {:?}, container: {})",
            pod.metadata.name.as_deref().unwrap_or_default(),
            container.name
        ));
    }
    if own.privileged == Some(true) {
        return Err(
            "privileged containers are not run by the embedded cloud: they would be the user who runs it".into()
        );
    }
    let profile = own.seccomp_profile.as_ref().or(pods.seccomp_profile.as_ref());
    if let Some(profile) = profile.filter(|profile| profile.type_ == "Localhost") {
        let name = profile.localhost_profile.as_deref().unwrap_or_default();
        return Err(format!("cannot load seccomp profile {name:?}: the embedded cloud's nodes have none of their own"));
    }
    Ok(Identity {
        uid,
        gid,
        capabilities: capabilities(own),
        no_new_privileges: own.allow_privilege_escalation == Some(false),
        read_only_root: own.read_only_root_filesystem.unwrap_or(false),
        seccomp: profile.is_some_and(|profile| profile.type_ == "RuntimeDefault"),
    })
}

fn capabilities(own: &SecurityContext) -> Vec<String> {
    let change = own.capabilities.as_ref();
    let plain = |name: &String| name.trim_start_matches("CAP_").to_ascii_uppercase();
    let dropped: BTreeSet<String> = change.iter().flat_map(|change| change.drop.iter().flatten()).map(plain).collect();
    let added = change.iter().flat_map(|change| change.add.iter().flatten()).map(plain);
    let kept = DEFAULT_CAPABILITIES.iter().map(|name| (*name).to_owned());
    let kept = kept.filter(|name| !dropped.contains("ALL") && !dropped.contains(name));
    let all: BTreeSet<String> = kept.chain(added.filter(|name| name != "ALL")).collect();
    all.into_iter().map(|name| format!("CAP_{name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(pod: serde_json::Value, own: serde_json::Value, expected: Result<(u32, u32, usize), &str>) {
        let pod: Pod = serde_json::from_value(
            json!({"metadata": {"name": "p"}, "spec": {"containers": [], "securityContext": pod}}),
        )
        .unwrap();
        let container: Container = serde_json::from_value(json!({"name": "c", "securityContext": own})).unwrap();
        match (user(&pod, &container), expected) {
            (Ok(found), expected) => {
                assert_eq!(Ok((found.uid, found.gid, found.capabilities.len())), expected, "{found:?}")
            }
            (Err(found), Err(part)) => assert!(found.contains(part), "`{found}` does not say `{part}`"),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn the_container_wins_over_the_pod_and_the_kubelet_refuses_root() {
        check(
            json!({"runAsUser": 5, "runAsGroup": 6}),
            json!({"runAsUser": 7, "capabilities": {"drop": ["ALL"]}}),
            Ok((7, 6, 0)),
        );
        check(json!({}), json!({"capabilities": {"drop": ["KILL"], "add": ["SYS_TIME"]}}), Ok((0, 0, 14)));
        check(json!({"runAsNonRoot": true}), json!({}), Err("runAsNonRoot"));
        check(json!({}), json!({"privileged": true}), Err("privileged"));
        check(json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "x"}}), json!({}), Err("seccomp"));
    }
}
