use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::api::WriteOptions;
use crate::client::Client;
use crate::settings::{ServiceRange, Settings};

const READER: &str = "system:serviceaccount:default:reader";
const ROLES: &str = "clusterroles.rbac.authorization.k8s.io";

struct Cluster {
    api: Arc<Api>,
    client: Client,
}

/// An empty cluster with `view` for one service account in the namespace `default`.
async fn cluster() -> Cluster {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let settings = Settings {
        data_dir: None,
        service_range: ServiceRange::parse("10.100.0.0/16").unwrap(),
        issuer: "https://kubernetes.default.svc".to_owned(),
        signer: Arc::new(crate::authn::tokens::Signer::from_pem(&key).unwrap()),
        ca_pem: "".into(),
    };
    let api = Api::open(settings).unwrap();
    let client = Client::new(api.clone());
    crate::bootstrap::run(&api, &client, "127.0.0.1:6443".parse().unwrap()).await.unwrap();
    let cluster = Cluster { api, client };
    cluster.bind("view").await;
    cluster
}

impl Cluster {
    async fn bind(&self, role: &str) {
        let binding = json!({"metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": "default"}]});
        self.client.create_raw("rolebindings.rbac.authorization.k8s.io", Some("default"), binding).await.unwrap();
    }

    fn check(&self, caller: &Caller, wanted: Attributes, expected: bool) {
        assert_eq!(allowed(&self.api, caller, &wanted), expected, "{wanted:?}");
    }

    /// Creates a role in `default` as the caller.
    async fn grant(&self, caller: &Caller, rules: Value) -> Result<(), ApiError> {
        let def = self.api.registry().stored_by_name("roles.rbac.authorization.k8s.io").unwrap();
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"generateName": "r-"}, "rules": rules});
        self.api.create(caller, &def, Some("default"), role, &WriteOptions::default()).await.map(drop)
    }
}

fn caller(name: &str, groups: &[&str]) -> Caller {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Caller { name: name.to_owned(), groups, ..Caller::default() }
}

fn reader() -> Caller {
    caller(READER, &["system:serviceaccounts", "system:authenticated"])
}

fn asked(verb: &str, group: &str, resource: &str, namespace: &str) -> Attributes {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let [verb, group, resource, subresource, namespace] =
        [verb, group, resource, subresource, namespace].map(str::to_owned);
    Attributes { verb, group, resource, subresource, namespace, ..Attributes::default() }
}

fn path(verb: &str, path: &str) -> Attributes {
    Attributes { verb: verb.to_owned(), path: path.to_owned(), ..Attributes::default() }
}

#[tokio::test]
async fn view_reads_its_namespace_and_writes_nothing() {
    let cluster = cluster().await;
    let check = |wanted, expected| cluster.check(&reader(), wanted, expected);
    check(asked("list", "", "pods", "default"), true);
    check(asked("get", "", "pods/log", "default"), true);
    check(asked("get", "apps", "deployments/scale", "default"), true);
    check(asked("list", "explain.marea.dev", "decisions", "default"), true);
    check(asked("list", "", "pods", "kube-system"), false);
    check(asked("list", "", "pods", ""), false);
    check(asked("get", "", "secrets", "default"), false);
    check(asked("get", "", "pods/exec", "default"), false);
    check(asked("create", "", "pods/exec", "default"), false);
    check(asked("delete", "", "pods", "default"), false);
    check(path("get", "/openapi/v3/apis/apps/v1"), true);
    check(path("get", "/metrics"), false);
    check(asked("create", "authorization.k8s.io", "selfsubjectaccessreviews", ""), true);
}

#[tokio::test]
async fn edit_writes_and_admin_hands_out_roles() {
    let cluster = cluster().await;
    cluster.bind("edit").await;
    let check = |wanted, expected| cluster.check(&reader(), wanted, expected);
    check(asked("create", "", "pods/exec", "default"), true);
    check(asked("update", "apps", "deployments", "default"), true);
    check(asked("patch", "apps", "deployments/scale", "default"), true);
    check(asked("get", "", "secrets", "default"), true);
    check(asked("list", "", "pods", "default"), true);
    check(asked("create", "rbac.authorization.k8s.io", "roles", "default"), false);
    check(asked("delete", "", "nodes", ""), false);
    cluster.bind("admin").await;
    check(asked("create", "rbac.authorization.k8s.io", "roles", "default"), true);
    check(asked("create", "rbac.authorization.k8s.io", "roles", "kube-system"), false);
    check(asked("create", "", "resourcequotas", "default"), false);
}

#[tokio::test]
async fn masters_may_everything_and_strangers_nothing() {
    let cluster = cluster().await;
    cluster.check(&caller("admin", &["system:masters"]), asked("delete", "x", "y", "z"), true);
    cluster.check(&caller("nobody", &[]), asked("get", "", "pods", "default"), false);
    cluster.check(&caller("nobody", &[]), path("get", "/api"), false);
}

#[test]
fn names_and_wildcards_narrow_and_widen() {
    let rule = json!({"apiGroups": ["apps"], "resources": ["*/scale", "deployments"], "resourceNames": ["web"], "verbs": ["update"]});
    let check = |resource, name: &str, expected| {
        let wanted = Attributes { name: name.to_owned(), ..asked("update", "apps", resource, "ns") };
        assert_eq!(rules::allows(&rule, &wanted), expected, "{resource} {name}");
    };
    check("deployments", "web", true);
    check("deployments", "api", false);
    check("deployments", "", false);
    check("statefulsets/scale", "web", true);
    check("statefulsets", "web", false);
    let everything = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]});
    assert!(rules::allows(&everything, &asked("delete", "x", "y/z", "")));
    assert!(!rules::allows(&everything, &path("get", "/metrics")), "resources are no paths");
}

#[tokio::test]
async fn nobody_hands_on_what_he_does_not_hold() {
    let cluster = cluster().await;
    let reader = reader();
    let pods =
        |resources: &[&str], verbs: &[&str]| json!([{"apiGroups": [""], "resources": resources, "verbs": verbs}]);
    cluster.grant(&reader, pods(&["pods", "pods/log"], &["get", "list"])).await.unwrap();
    let named = json!([{"apiGroups": [""], "resources": ["pods"], "resourceNames": ["web-1"], "verbs": ["get"]}]);
    cluster.grant(&reader, named).await.unwrap();
    let every_group = json!([{"apiGroups": ["*"], "resources": ["pods"], "verbs": ["get"]}]);
    assert_eq!(cluster.grant(&reader, every_group).await.unwrap_err().code(), 403);
    let error = cluster.grant(&reader, pods(&["pods"], &["get", "delete"])).await.unwrap_err();
    let expected = "user \"system:serviceaccount:default:reader\" (groups=[\"system:serviceaccounts\" \"system:authenticated\"]) is \
                    attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], \
                    Verbs:[\"get\" \"delete\"]}";
    assert!(error.message().contains(expected), "{error}");
    let everything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    cluster.grant(&caller("admin", &["system:masters"]), everything).await.unwrap();
}

#[tokio::test]
async fn aggregated_roles_show_the_rules_of_the_roles_that_they_pick() {
    let cluster = cluster().await;
    let holds = |role: &str, resource: &str| {
        let role = cluster.client.get_raw(ROLES, None, role).unwrap();
        json::items(&role, "/rules").iter().any(|rule| json::items(rule, "/resources").iter().any(|r| r == resource))
    };
    assert!(holds("view", "pods/log") && holds("edit", "pods/log") && holds("admin", "pods/log"));
    assert!(holds("edit", "pods/exec") && !holds("view", "pods/exec"));
    let widgets = json!({"metadata": {"name": "widgets", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": ["example.org"], "resources": ["widgets"], "verbs": ["get"]}]});
    cluster.client.create_raw(ROLES, None, widgets).await.unwrap();
    aggregation::reconcile(&cluster.client).await.unwrap();
    assert!(holds("admin", "widgets"));
    cluster.check(&reader(), asked("get", "example.org", "widgets", "default"), true);
    cluster.client.delete_raw(ROLES, None, "widgets", &Default::default()).await.unwrap();
    aggregation::reconcile(&cluster.client).await.unwrap();
    assert!(!holds("admin", "widgets") && !holds("view", "widgets"));
}

#[test]
fn refusals_are_worded_as_upstream_words_them() {
    let user = caller("reader", &[]);
    let check = |wanted: Attributes, expected: &str| assert_eq!(forbidden(&user, &wanted).message(), expected);
    check(
        Attributes { name: "web".to_owned(), ..asked("create", "", "pods/exec", "platform") },
        "pods \"web\" is forbidden: User \"reader\" cannot create resource \"pods/exec\" in API group \"\" in the namespace \"platform\"",
    );
    check(
        asked("list", "apps", "deployments", ""),
        "deployments.apps is forbidden: User \"reader\" cannot list resource \"deployments\" in API group \"apps\" at the cluster scope",
    );
    check(path("get", "/metrics"), "forbidden: User \"reader\" cannot get path \"/metrics\"");
}
