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

/// The user that an image names.
pub(crate) struct ImageUser<'a> {
    /// `user`, `uid`, `user:group` or `uid:gid`; empty for root.
    pub text: &'a str,
    /// Its numbers by the image's own lists: uid, and gid where one is known.
    pub look_up: &'a dyn Fn(&str) -> Numbers,
}

type Numbers = Result<(u32, Option<u32>), String>;

/// # Errors
/// What the kubelet refuses (pkg/kubelet/kuberuntime/security_context_others.go of 1.36), word for word.
pub(crate) fn user(pod: &Pod, container: &Container, image: Option<&ImageUser<'_>>) -> Result<Identity, String> {
    let none = (PodSecurityContext::default(), SecurityContext::default());
    let pods = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref()).unwrap_or(&none.0);
    let own = container.security_context.as_ref().unwrap_or(&none.1);
    let id = |value: i64| u32::try_from(value).map_err(|_| "a user or group id is negative".to_owned());
    let asked = own.run_as_user.or(pods.run_as_user).map(id).transpose()?;
    let text = image.map_or("", |image| image.text);
    if own.run_as_non_root.or(pods.run_as_non_root) == Some(true) {
        let name = text.split(':').next().unwrap_or_default();
        let number = if name.is_empty() { Some(0) } else { name.parse::<u32>().ok() };
        let complaint = match (asked, number) {
            (Some(0), _) => "container's runAsUser breaks non-root policy".to_owned(),
            (None, Some(0)) => "container has runAsNonRoot and image will run as root".to_owned(),
            (None, None) => format!(
                "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
            ),
            (_, _) => String::new(),
        };
        if !complaint.is_empty() {
            let pod = pod.metadata.name.as_deref().unwrap_or_default();
            return Err(format!("{complaint} (pod: {pod:?}, container: {})", container.name));
        }
    }
    let (uid, own_gid) = match (asked, image) {
        (Some(uid), Some(image)) => (image.look_up)(&uid.to_string())?,
        (None, Some(image)) => (image.look_up)(text)?,
        (asked, None) => (asked.unwrap_or(0), None),
    };
    let gid = own.run_as_group.or(pods.run_as_group).map(id).transpose()?.or(own_gid).unwrap_or(0);
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
        match (user(&pod, &container, None), expected) {
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
        check(json!({"runAsNonRoot": true}), json!({"runAsUser": 0}), Err("breaks non-root policy"));
        check(json!({}), json!({"privileged": true}), Err("privileged"));
        check(json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "x"}}), json!({}), Err("seccomp"));
    }

    fn check_image(text: &str, own: serde_json::Value, expected: Result<(u32, u32), &str>) {
        let look_up = |text: &str| match text {
            "" => Ok((0, None)),
            "app" | "101" | "101:102" => Ok((101, Some(102))),
            "7" => Ok((7, None)),
            other => Err(format!("unable to find user {other}")),
        };
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": []}})).unwrap();
        let container: Container = serde_json::from_value(json!({"name": "c", "securityContext": own})).unwrap();
        match (user(&pod, &container, Some(&ImageUser { text, look_up: &look_up })), expected) {
            (Ok(found), expected) => assert_eq!(Ok((found.uid, found.gid)), expected, "{text}"),
            (Err(found), Err(part)) => assert!(found.contains(part), "`{found}` does not say `{part}`"),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn an_image_names_its_user_and_the_manifest_wins() {
        check_image("", json!({}), Ok((0, 0)));
        check_image("app", json!({}), Ok((101, 102)));
        check_image("app", json!({"runAsGroup": 5}), Ok((101, 5)));
        check_image("app", json!({"runAsUser": 7}), Ok((7, 0)));
        check_image("101:102", json!({"runAsNonRoot": true}), Ok((101, 102)));
        check_image(
            "app",
            json!({"runAsNonRoot": true}),
            Err("non-numeric user (app), cannot verify user is non-root"),
        );
        check_image("app", json!({"runAsNonRoot": true, "runAsUser": 7}), Ok((7, 0)));
        check_image("", json!({"runAsNonRoot": true}), Err("image will run as root"));
        check_image("nobody", json!({}), Err("unable to find user nobody"));
    }
}
