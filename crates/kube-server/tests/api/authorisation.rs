//! Who may do what, for every route that the registry serves: each resource, subresource and verb of discovery is tried as
//! everybody in the table. A route without a line fails the test, and so does a line without a route.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use crate::support::Cluster;
use crate::support::http::Http;

/// `<group version> <resource> <verb>: <who may>`, `all` for everybody who is known and `-` for none of them.
const TABLE: &str = include_str!("authorisation.txt");

/// `reader` may view the namespace `default`, `nobody` nothing; the others have the cluster role of their name everywhere.
const WHO: &[&str] = &["nobody", "reader", "view", "edit", "admin", "cluster-admin"];

/// What is no resource.
const PATHS: &[&str] = &[
    "/version",
    "/api",
    "/api/v1",
    "/apis",
    "/apis/apps",
    "/apis/apps/v1",
    "/openapi/v3",
    "/openapi/v3/apis/apps/v1",
    "/.well-known/openid-configuration",
    "/openid/v1/jwks",
];
/// Answered to anybody, so that probes need no credentials.
const OPEN: &[&str] = &["/healthz", "/livez", "/readyz", "/livez/ping", "/readyz/ping"];

async fn people(cluster: &Cluster) -> Vec<(&'static str, Http)> {
    let client = cluster.server.client();
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.admin().await, "default");
    let mut people = Vec::new();
    for who in WHO {
        client
            .create_raw("serviceaccounts", Some("default"), json!({"metadata": {"name": who}}))
            .await
            .expect("created");
        let subjects = json!([{"kind": "ServiceAccount", "name": who, "namespace": "default"}]);
        let role = |name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
        let binding = |name: &str| json!({"metadata": {"name": format!("as-{who}")}, "roleRef": role(name), "subjects": subjects});
        let (resource, namespace, binding) = match *who {
            "nobody" => ("", None, Value::Null),
            "reader" => ("rolebindings.rbac.authorization.k8s.io", Some("default"), binding("view")),
            who => ("clusterrolebindings.rbac.authorization.k8s.io", None, binding(who)),
        };
        if !resource.is_empty() {
            client.create_raw(resource, namespace, binding).await.expect("bound");
        }
        let token = accounts.create_token_request(who, &PostParams::default(), &TokenRequest::default()).await;
        let token = token.expect("a token").status.expect("a status").token;
        people.push((*who, Http::new(cluster, token)));
    }
    people
}

struct Route {
    /// As in the table.
    name: String,
    method: &'static str,
    path: String,
    media: &'static str,
}

/// Everything that discovery lists, as a request each.
async fn routes(admin: &mut Http) -> Vec<Route> {
    let groups = admin.get("/apis").await.json();
    let versions = groups["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .flat_map(|group| group["versions"].as_array().expect("versions"));
    let mut bases = vec![("v1".to_owned(), "/api/v1".to_owned())];
    bases.extend(versions.map(|version| {
        let version = version["groupVersion"].as_str().expect("a version");
        (version.to_owned(), format!("/apis/{version}"))
    }));
    let mut routes = Vec::new();
    for (version, base) in bases {
        let list = admin.get(&base).await.json();
        for resource in list["resources"].as_array().expect("resources") {
            let name = resource["name"].as_str().expect("a name");
            for verb in resource["verbs"].as_array().expect("verbs") {
                let verb = verb.as_str().expect("a verb");
                routes.push(route(&version, &base, name, resource["namespaced"] == true, verb));
            }
        }
    }
    routes
}

fn route(version: &str, base: &str, resource: &str, namespaced: bool, verb: &str) -> Route {
    let (plural, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let collection =
        if namespaced { format!("{base}/namespaces/default/{plural}") } else { format!("{base}/{plural}") };
    // Nothing has this name, so that what is allowed changes nothing.
    let item = [&collection, "none", subresource].join("/").trim_end_matches('/').to_owned();
    let (method, path) = match verb {
        "list" => ("GET", collection),
        "watch" => ("GET", format!("{collection}?watch=true&timeoutSeconds=1")),
        "get" => ("GET", item),
        "create" if subresource.is_empty() => ("POST", collection),
        "create" => ("POST", item),
        "update" => ("PUT", item),
        "patch" => ("PATCH", item),
        "delete" => ("DELETE", item),
        "deletecollection" => ("DELETE", format!("{collection}?dryRun=All")),
        other => panic!("{resource} has a verb that this test cannot try: {other}"),
    };
    let media = if verb == "patch" { "application/merge-patch+json" } else { "application/json" };
    Route { name: format!("{version} {resource} {verb}"), method, path, media }
}

async fn try_as(who: &'static str, mut http: Http, routes: &[Route]) -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for route in routes {
        let body = if matches!(route.method, "GET" | "DELETE") { "" } else { "{}" };
        if route.name.ends_with(" watch") {
            if http.code(route.method, &route.path, route.media, body).await == 200 {
                allowed.insert(route.name.clone());
            }
            continue;
        }
        let answer = http.send(route.method, &route.path, route.media, body).await;
        assert!(!matches!(answer.code, 401 | 500), "{who}, {} {}: {answer:?}", route.method, route.path);
        // A policy may refuse with the same code what RBAC allows.
        if answer.code != 403 || !answer.text.contains(" cannot ") {
            allowed.insert(route.name.clone());
        }
    }
    allowed
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_open_to_whom_the_table_says() {
    let cluster = Cluster::start().await;
    let mut people = people(&cluster).await;
    let (_, admin) = people.last_mut().expect("an administrator");
    let mut routes = routes(admin).await;
    routes.extend(PATHS.iter().map(|path| Route {
        name: format!("path {path} get"),
        method: "GET",
        path: (*path).to_owned(),
        media: "application/json",
    }));
    let mut anonymous = Http::new(&cluster, None);
    for route in &routes {
        let code = anonymous.code(route.method, &route.path, route.media, "").await;
        assert_eq!(code, 401, "without credentials: {} {}", route.method, route.path);
    }
    for path in OPEN {
        assert_eq!(anonymous.code("GET", path, "", "").await, 200, "{path}");
    }
    let routes = std::sync::Arc::new(routes);
    let mut found: BTreeMap<&str, Vec<&str>> = routes.iter().map(|route| (route.name.as_str(), Vec::new())).collect();
    let tries: Vec<_> = people
        .into_iter()
        .map(|(who, http)| {
            let routes = routes.clone();
            tokio::spawn(async move { (who, try_as(who, http, &routes).await) })
        })
        .collect();
    for outcome in tries {
        let (who, allowed) = outcome.await.expect("every route is tried");
        for name in allowed {
            found.get_mut(name.as_str()).expect("a route").push(who);
        }
    }
    let lines = found.into_iter().map(|(name, who)| {
        let who = match who.as_slice() {
            [] => "-".to_owned(),
            who if who == WHO => "all".to_owned(),
            who => who.join(" "),
        };
        format!("{name}: {who}")
    });
    let (found, expected): (BTreeSet<String>, BTreeSet<String>) =
        (lines.collect(), TABLE.lines().map(str::to_owned).collect());
    let missing: Vec<_> = found.difference(&expected).map(String::as_str).collect();
    let wrong: Vec<_> = expected.difference(&found).map(String::as_str).collect();
    assert!(
        missing.is_empty() && wrong.is_empty(),
        "not in authorisation.txt:\n{}\nin it, but not so:\n{}",
        missing.join("\n"),
        wrong.join("\n")
    );
}
