//! The roles that every cluster has (upstream: `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go`, v1.36.3).

use serde_json::{Value, json};

const GROUP: &str = "rbac.authorization.k8s.io";
const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const ALL: &[&str] = &["*"];

fn rule(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Value {
    json!({"verbs": verbs, "apiGroups": groups, "resources": resources})
}

fn urls(verbs: &[&str], paths: &[&str]) -> Value {
    json!({"verbs": verbs, "nonResourceURLs": paths})
}

fn role(name: &str, labels: &[(&str, &str)], rules: Vec<Value>) -> Value {
    let mut role = json!({"metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}}, "rules": rules});
    for (key, value) in labels {
        role["metadata"]["labels"][*key] = json!(value);
    }
    role
}

fn aggregated(name: &str, labels: &[(&str, &str)]) -> Value {
    let mut role = role(name, labels, Vec::new());
    let label = format!("rbac.authorization.k8s.io/aggregate-to-{name}");
    role["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
    role
}

const VIEWED: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "bindings",
            "configmaps",
            "endpoints",
            "events",
            "limitranges",
            "namespaces",
            "namespaces/status",
            "persistentvolumeclaims",
            "persistentvolumeclaims/status",
            "pods",
            "pods/log",
            "pods/status",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "replicationcontrollers/status",
            "resourcequotas",
            "resourcequotas/status",
            "serviceaccounts",
            "services",
            "services/status",
        ],
    ),
    (
        "apps",
        &[
            "controllerrevisions",
            "daemonsets",
            "daemonsets/status",
            "deployments",
            "deployments/scale",
            "deployments/status",
            "replicasets",
            "replicasets/scale",
            "replicasets/status",
            "statefulsets",
            "statefulsets/scale",
            "statefulsets/status",
        ],
    ),
    ("autoscaling", &["horizontalpodautoscalers", "horizontalpodautoscalers/status"]),
    ("batch", &["cronjobs", "cronjobs/status", "jobs", "jobs/status"]),
    ("discovery.k8s.io", &["endpointslices"]),
    ("networking.k8s.io", &["ingresses", "ingresses/status", "networkpolicies"]),
    ("policy", &["poddisruptionbudgets", "poddisruptionbudgets/status"]),
    ("metrics.k8s.io", &["pods", "nodes"]),
    ("explain.marea.dev", &["decisions"]),
];
const EDITED: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "configmaps",
            "events",
            "persistentvolumeclaims",
            "pods",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "secrets",
            "serviceaccounts",
            "services",
            "services/proxy",
            "pods/attach",
            "pods/exec",
            "pods/portforward",
            "pods/proxy",
            "pods/eviction",
            "serviceaccounts/token",
        ],
    ),
    (
        "apps",
        &[
            "daemonsets",
            "deployments",
            "deployments/rollback",
            "deployments/scale",
            "replicasets",
            "replicasets/scale",
            "statefulsets",
            "statefulsets/scale",
        ],
    ),
    ("autoscaling", &["horizontalpodautoscalers"]),
    ("batch", &["cronjobs", "jobs"]),
    ("networking.k8s.io", &["ingresses", "networkpolicies"]),
    ("policy", &["poddisruptionbudgets"]),
    ("coordination.k8s.io", &["leases"]),
];

fn rules_for(verbs: &[&str], table: &[(&str, &[&str])]) -> Vec<Value> {
    table.iter().map(|(group, resources)| rule(verbs, &[group], resources)).collect()
}

pub fn cluster_roles() -> Vec<Value> {
    let to = |level: &'static str| -> (&'static str, &'static str) {
        match level {
            "admin" => ("rbac.authorization.k8s.io/aggregate-to-admin", "true"),
            "edit" => ("rbac.authorization.k8s.io/aggregate-to-edit", "true"),
            _ => ("rbac.authorization.k8s.io/aggregate-to-view", "true"),
        }
    };
    let mut edit = rules_for(WRITE, EDITED);
    edit.push(rule(
        READ,
        &[""],
        &["secrets", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "services/proxy"],
    ));
    edit.push(rule(READ, &["coordination.k8s.io"], &["leases"]));
    edit.push(rule(&["impersonate"], &[""], &["serviceaccounts"]));
    let admin = vec![
        rule(&["create"], &["authorization.k8s.io"], &["localsubjectaccessreviews"]),
        rule(&[READ, WRITE].concat(), &[GROUP], &["rolebindings", "roles"]),
    ];
    let probes = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
    vec![
        role("cluster-admin", &[], vec![rule(ALL, ALL, ALL), urls(ALL, ALL)]),
        aggregated("admin", &[]),
        aggregated("edit", &[to("admin")]),
        aggregated("view", &[to("edit")]),
        role("system:aggregate-to-admin", &[to("admin")], admin),
        role("system:aggregate-to-edit", &[to("edit")], edit),
        role("system:aggregate-to-view", &[to("view")], rules_for(READ, VIEWED)),
        role(
            "system:discovery",
            &[],
            vec![urls(
                &["get"],
                &[
                    "/api",
                    "/api/*",
                    "/apis",
                    "/apis/*",
                    "/healthz",
                    "/livez",
                    "/openapi",
                    "/openapi/*",
                    "/readyz",
                    "/version",
                    "/version/",
                ],
            )],
        ),
        role("system:public-info-viewer", &[], vec![urls(&["get"], &probes)]),
        role(
            "system:monitoring",
            &[],
            vec![urls(&["get"], &["/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/readyz", "/readyz/*"])],
        ),
        role(
            "system:service-account-issuer-discovery",
            &[],
            vec![urls(&["get"], &["/.well-known/openid-configuration", "/openid/v1/jwks"])],
        ),
        role(
            "system:basic-user",
            &[],
            vec![
                rule(&["create"], &["authorization.k8s.io"], &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
                rule(&["create"], &["authentication.k8s.io"], &["selfsubjectreviews"]),
            ],
        ),
        role(
            "system:auth-delegator",
            &[],
            vec![
                rule(&["create"], &["authentication.k8s.io"], &["tokenreviews"]),
                rule(&["create"], &["authorization.k8s.io"], &["subjectaccessreviews"]),
            ],
        ),
        role(
            "system:node",
            &[],
            vec![
                rule(
                    ALL,
                    &[""],
                    &[
                        "nodes",
                        "nodes/status",
                        "pods",
                        "pods/status",
                        "pods/eviction",
                        "events",
                        "serviceaccounts/token",
                    ],
                ),
                rule(
                    READ,
                    &[""],
                    &["services", "configmaps", "secrets", "persistentvolumeclaims", "persistentvolumes"],
                ),
                rule(ALL, &["coordination.k8s.io"], &["leases"]),
            ],
        ),
        role("system:metrics-reader", &[], vec![rule(READ, &["metrics.k8s.io"], &["pods", "nodes"])]),
    ]
}

pub fn cluster_role_bindings() -> Vec<Value> {
    let binding = |name: &str, role: &str, groups: &[&str]| {
        let subjects: Vec<Value> =
            groups.iter().map(|g| json!({"kind": "Group", "name": g, "apiGroup": GROUP})).collect();
        json!({"metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}, "subjects": subjects})
    };
    vec![
        binding("cluster-admin", "cluster-admin", &["system:masters"]),
        binding("system:discovery", "system:discovery", &["system:authenticated"]),
        binding("system:basic-user", "system:basic-user", &["system:authenticated"]),
        binding(
            "system:public-info-viewer",
            "system:public-info-viewer",
            &["system:authenticated", "system:unauthenticated"],
        ),
        binding("system:monitoring", "system:monitoring", &["system:monitoring"]),
        binding(
            "system:service-account-issuer-discovery",
            "system:service-account-issuer-discovery",
            &["system:serviceaccounts"],
        ),
        binding("system:node", "system:node", &["system:nodes"]),
    ]
}
