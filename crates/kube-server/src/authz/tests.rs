use serde_json::{Value, json};

use super::*;

fn policies(objects: &[Value]) -> Policies {
    let of_kind = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).cloned().collect::<Vec<_>>();
    fn typed<K: serde::de::DeserializeOwned>(objects: Vec<Value>) -> Vec<Arc<K>> {
        objects.into_iter().map(|object| Arc::new(serde_json::from_value(object).unwrap())).collect()
    }
    Policies {
        roles: typed(of_kind("Role")),
        cluster_roles: typed(of_kind("ClusterRole")),
        role_bindings: typed(of_kind("RoleBinding")),
        cluster_role_bindings: typed(of_kind("ClusterRoleBinding")),
    }
}

fn caller(name: &str, groups: &[&str]) -> Caller {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Caller { name: name.to_owned(), groups, ..Caller::default() }
}

/// `view` for one service account in one namespace.
fn platform() -> Policies {
    let mut objects = bootstrap_objects();
    objects.push(json!({
        "kind": "RoleBinding", "metadata": {"name": "reader", "namespace": "platform"},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": "platform"}],
    }));
    policies(&objects)
}

fn asked<'a>(verb: &'a str, group: &'a str, resource: &'a str, namespace: &'a str) -> Asked<'a> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Asked { verb, group, resource, subresource, namespace: Some(namespace), ..Asked::default() }
}

const READER: &str = "system:serviceaccount:platform:reader";

#[test]
fn a_reader_reads_its_namespace_and_writes_nothing() {
    let policies = platform();
    let reader = caller(READER, &["system:serviceaccounts", "system:authenticated"]);
    let check = |asked: Asked<'_>, expected: bool| assert_eq!(policies.allow(&reader, &asked), expected, "{asked:?}");
    check(asked("list", "", "pods", "platform"), true);
    check(asked("get", "", "pods/log", "platform"), true);
    check(asked("get", "apps", "deployments/scale", "platform"), true);
    check(asked("list", "", "pods", "monitoring"), false);
    check(asked("list", "", "pods", ""), false);
    check(asked("get", "", "secrets", "platform"), false);
    check(asked("create", "", "pods/exec", "platform"), false);
    check(asked("delete", "", "pods", "platform"), false);
    check(Asked { verb: "get", path: "/openapi/v3", ..Asked::default() }, true);
    check(Asked { verb: "get", path: "/metrics", ..Asked::default() }, false);
    check(asked("create", "authorization.k8s.io", "selfsubjectaccessreviews", ""), true);
}

#[test]
fn masters_may_everything_and_strangers_nothing() {
    let policies = platform();
    assert!(policies.allow(&caller("admin", &["system:masters"]), &asked("delete", "x", "y", "z")));
    assert!(!policies.allow(&caller("nobody", &[]), &asked("get", "", "pods", "platform")));
}

#[test]
fn names_and_wildcards_narrow_and_widen() {
    let rule: PolicyRule = serde_json::from_value(json!({
        "apiGroups": ["apps"], "resources": ["*/scale", "deployments"], "resourceNames": ["web"], "verbs": ["update"],
    }))
    .unwrap();
    let check = |resource, name, expected| {
        let asked = Asked { name, ..asked("update", "apps", resource, "ns") };
        assert_eq!(rule_allows(&rule, &asked), expected, "{resource} {name}");
    };
    check("deployments", "web", true);
    check("deployments", "api", false);
    check("deployments", "", false);
    check("statefulsets/scale", "web", true);
    check("statefulsets", "web", false);
}

#[test]
fn nobody_hands_on_what_he_does_not_hold() {
    let policies = platform();
    let reader = caller(READER, &[]);
    let rules = |value: Value| -> Vec<PolicyRule> { serde_json::from_value(value).unwrap() };
    let check = |wanted: Value, escalates: bool| {
        let wanted = rules(wanted);
        assert_eq!(policies.escalation(&reader, Some("platform"), &wanted).is_some(), escalates, "{wanted:?}");
    };
    check(json!([{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}]), false);
    check(json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "delete"]}]), true);
    check(json!([{"apiGroups": ["*"], "resources": ["pods"], "verbs": ["get"]}]), true);
    check(json!([{"apiGroups": [""], "resources": ["pods"], "resourceNames": ["web-1"], "verbs": ["get"]}]), false);
    check(json!([{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]), true);
}

#[test]
fn refusals_are_worded_as_upstream_words_them() {
    let user = caller("reader", &[]);
    let check = |asked: Asked<'_>, expected: &str| assert_eq!(forbidden_message(&user, &asked), expected);
    check(
        asked("create", "", "pods/exec", "platform"),
        "User \"reader\" cannot create resource \"pods/exec\" in API group \"\" in the namespace \"platform\"",
    );
    check(
        asked("list", "apps", "deployments", ""),
        "User \"reader\" cannot list resource \"deployments\" in API group \"apps\" at the cluster scope",
    );
    check(Asked { verb: "get", path: "/metrics", ..Asked::default() }, "User \"reader\" cannot get path \"/metrics\"");
}
