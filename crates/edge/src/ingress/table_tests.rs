use super::*;
use serde_json::{Value, json};

fn from<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).expect("an object of its kind"))
}

fn ingress(name: &str, more: Value) -> Arc<Ingress> {
    let mut ingress = json!({
        "metadata": {"namespace": "platform", "name": name},
        "spec": {"ingressClassName": "traefik", "rules": [{"http": {"paths": [
            {"path": "/api", "pathType": "Prefix", "backend": {"service": {"name": "backend", "port": {"number": 80}}}},
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "frontend", "port": {"name": "http"}}}}]}}]},
    });
    for (pointer, value) in more.as_object().expect("changes by pointer") {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        ingress.pointer_mut(parent).expect("an existing parent")[key] = value.clone();
    }
    from(ingress)
}

fn service(name: &str) -> Arc<Service> {
    from(
        json!({"metadata": {"namespace": "platform", "name": name}, "spec": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}),
    )
}

fn slice(name: &str, endpoints: Value) -> Arc<EndpointSlice> {
    from(
        json!({"metadata": {"namespace": "platform", "name": format!("{name}-x"), "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}], "endpoints": endpoints}),
    )
}

fn objects() -> Objects {
    Objects {
        ingresses: vec![ingress("platform", json!({}))],
        classes: vec![from(json!({"metadata": {"name": "traefik"}, "spec": {"controller": CONTROLLER}}))],
        services: vec![service("backend"), service("frontend")],
        slices: vec![slice(
            "backend",
            json!([{"addresses": ["127.17.0.9"], "conditions": {"ready": true}}, {"addresses": ["127.17.0.8"]},
                   {"addresses": ["127.17.0.7"], "conditions": {"ready": false}},
                   {"addresses": ["127.17.0.6"], "conditions": {"ready": true, "terminating": true}}]),
        )],
    }
}

fn flags() -> KubernetesIngress {
    KubernetesIngress { ingress_class: Some("traefik".to_owned()), ..KubernetesIngress::default() }
}

#[test]
fn the_platforms_ingress_has_two_routes_and_the_ready_endpoints() {
    let table = Table::build(&objects(), &flags());
    assert_eq!(table.problems, Vec::<String>::new());
    let routes: Vec<_> = table.routes.iter().map(|route| (route.rule.text(), route.service.as_str())).collect();
    assert_eq!(
        routes,
        [
            ("PathPrefix(`/api`)".to_owned(), "platform-backend-80"),
            ("PathPrefix(`/`)".to_owned(), "platform-frontend-http")
        ]
    );
    let backend: Vec<String> = table.services["platform-backend-80"].iter().map(ToString::to_string).collect();
    assert_eq!(backend, ["127.17.0.8:8080", "127.17.0.9:8080"]);
    assert_eq!(table.services["platform-frontend-http"], []);
}

#[track_caller]
fn check_served(change: Value, expected_routes: usize, expected_problem: &str) {
    let objects = Objects { ingresses: vec![ingress("platform", change)], ..objects() };
    let table = Table::build(&objects, &flags());
    assert_eq!(table.routes.len(), expected_routes, "{:?}", table.problems);
    assert!(table.problems.join("; ").contains(expected_problem), "{:?}", table.problems);
}

#[test]
fn only_ingresses_of_our_class_are_served() {
    check_served(json!({"/spec/ingressClassName": "nginx"}), 0, "");
    check_served(json!({"/spec/ingressClassName": null}), 0, "");
    check_served(
        json!({"/spec/ingressClassName": null, "/metadata/annotations": {"kubernetes.io/ingress.class": "traefik"}}),
        2,
        "",
    );
}

#[test]
fn what_cannot_be_followed_is_named() {
    check_served(
        json!({"/metadata/annotations": {"traefik.ingress.kubernetes.io/router.middlewares": "x"}}),
        0,
        "router.middlewares is not supported",
    );
    check_served(
        json!({"/spec/rules/0/http/paths/0/backend": {"service": {"name": "nobody", "port": {"number": 80}}}}),
        1,
        "Service platform/nobody does not exist",
    );
    check_served(
        json!({"/spec/rules/0/http/paths/0/backend": {"service": {"name": "backend", "port": {"number": 81}}}}),
        1,
        "has no such port",
    );
    check_served(json!({"/spec/tls": [{"hosts": ["a"]}]}), 2, "TLS is not served");
}

#[test]
fn a_default_backend_comes_last() {
    let change = json!({"/spec/defaultBackend": {"service": {"name": "frontend", "port": {"number": 80}}}});
    let table = Table::build(&Objects { ingresses: vec![ingress("platform", change)], ..objects() }, &flags());
    assert_eq!(table.routes.last().map(|route| route.service.as_str()), Some("platform-frontend-80"));
}
