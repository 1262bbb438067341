//! Simulations as jobs, against a real PostgreSQL and by several replicas.

use crate::support::Postgres;
use crate::support::application::{DEADLINE, config, get, json as read, migrated};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use backend_api::problem::Problem;
use backend_api::simulations::{ACTIVE_AT_MOST, Simulation, SimulationDetail, SimulationState};
use marea_backend::http;
use marea_backend::simulations::Deployed;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tower::ServiceExt as _;

/// One pool, one deployment behind an autoscaler: the least that can be simulated.
fn plan() -> String {
    let cluster = json!({"type": "Microsoft.ContainerService/managedClusters", "apiVersion": "2026-05-01", "name": "marea", "location": "eastus",
        "properties": {"agentPoolProfiles": [
            {"name": "systempool", "mode": "System", "vmSize": "Standard_B2s", "count": 1},
            {"name": "backend", "mode": "User", "vmSize": "Standard_B2s", "count": 1, "enableAutoScaling": true, "minCount": 1, "maxCount": 5}]}});
    let template = json!({"$schema": "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#",
        "contentVersion": "1.0.0.0", "resources": [cluster]});
    let container =
        json!({"name": "backend", "image": "x", "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "backend", "namespace": "platform"},
        "spec": {"selector": {"matchLabels": {"app": "backend"}},
                 "template": {"metadata": {"labels": {"app": "backend"}}, "spec": {"containers": [container]}}}});
    let target = json!({"type": "Utilization", "averageUtilization": 70});
    let hpa = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "backend", "namespace": "platform"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "backend"}, "minReplicas": 2, "maxReplicas": 10,
                 "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]}});
    json!({"templates": [template], "manifests": [deployment, hpa]}).to_string()
}

fn scenario(duration: &str) -> Value {
    json!({"duration": duration, "load": {"shape": {"spike": {"low": 20, "high": 150, "at": "20m", "for": "20m"}}},
           "work": {"backend": {"cpu": "12ms"}}})
}

async fn send(application: &http::Application, method: &str, path: &str, body: &Value) -> Response {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.body(Body::from(body.to_string())).expect("a valid request");
    http::router(application.clone()).oneshot(request).await.expect("routers do not fail")
}

async fn add(application: &http::Application, duration: &str, seeds: u32) -> Simulation {
    let body = json!({"title": "a spike", "scenario": scenario(duration), "seeds": seeds});
    let response = send(application, "POST", "/api/v1/simulations", &body).await;
    let status = response.status();
    let text: Value = read(response).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{text}");
    serde_json::from_value(text).expect("a simulation")
}

async fn detail(application: &http::Application, id: &str) -> SimulationDetail {
    read(get(application, &format!("/api/v1/simulations/{id}")).await).await
}

async fn until(application: &http::Application, id: &str, wanted: SimulationState) -> SimulationDetail {
    let started = Instant::now();
    loop {
        let found = detail(application, id).await;
        if found.simulation.state == wanted {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "still {:?}: {:?}", found.simulation.state, found.simulation.error);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn with_platform(postgres: &Postgres) -> http::Application {
    let application = migrated(&config(postgres.port, &[])).await;
    application.simulations.set_deployed(Some(Deployed::parse(&plan()).expect("a plan")));
    application
}

#[tokio::test]
async fn a_simulation_is_run_and_its_result_kept() {
    let postgres = Postgres::start(None);
    let application = with_platform(&postgres).await;
    let working = tokio::spawn(application.simulations.clone().run("backend-a".into(), application.lifecycle.clone()));
    let added = add(&application, "1h", 3).await;
    assert_eq!((added.title.as_str(), added.seeds, added.progress), ("a spike", 3, 0.0));
    let done = until(&application, &added.id, SimulationState::Done).await;
    let result = done.result.expect("a result");
    assert_eq!(result.series.seconds.len(), 60);
    let replicas = &result.series.replicas[0];
    assert_eq!((replicas.name.as_str(), replicas.values.len()), ("backend", 60));
    assert!(replicas.values.iter().max() > Some(&2), "the spike moved nothing: {:?}", replicas.values);
    assert!(result.moves.iter().any(|one| one.summary.starts_with("scales from 2 to")), "{:?}", result.moves);
    assert_eq!(result.summary["seeds"], 3);
    let listed: Vec<Simulation> = read(get(&application, "/api/v1/simulations").await).await;
    assert_eq!(listed.len(), 1);
    assert!(listed[0].p99_ms.is_some() && listed[0].finished_at.is_some() && listed[0].progress == 1.0, "{listed:?}");
    // Forgetting what has ended.
    assert_eq!(
        send(&application, "DELETE", &format!("/api/v1/simulations/{}", added.id), &Value::Null).await.status(),
        StatusCode::OK
    );
    assert_eq!(get(&application, &format!("/api/v1/simulations/{}", added.id)).await.status(), StatusCode::NOT_FOUND);
    application.lifecycle.drain();
    tokio::time::timeout(DEADLINE, working).await.expect("it ends with the drain").expect("no panic");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_field() {
    let postgres = Postgres::start(None);
    let application = with_platform(&postgres).await;
    let check = async |body: Value, expected: &str| {
        let response = send(&application, "POST", "/api/v1/simulations", &body).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
        let problem: Problem = read(response).await;
        assert!(problem.detail.contains(expected), "{body}: {}", problem.detail);
    };
    let with = |field: &str, value: Value| {
        let mut scenario = scenario("1h");
        scenario[field] = value;
        json!({"scenario": scenario})
    };
    check(json!({}), "scenario").await;
    check(json!({"scenario": scenario("1h"), "title": "t".repeat(121)}), "title: at most 120").await;
    check(json!({"scenario": scenario("1h"), "seeds": 51}), "seeds: must be between 1 and 50").await;
    check(json!({"scenario": scenario("1h"), "sedes": 1}), "sedes").await;
    check(with("duration", json!("93d")), "at most 92 days").await;
    check(with("sede", json!(1)), "unknown field `sede`").await;
    check(with("set", json!({"backend.hpa.cpu": 60})), "scenario.set: is not for a job").await;
    check(
        with("work", json!({"shop": {"cpu": "1ms"}})),
        "scenario.work.shop: no workload has this name; there are backend",
    )
    .await;
    check(with("load", json!({"trace": "shop.csv"})), "`shop.csv` came without its text").await;
    let trace = json!({"scenario": {"load": {"trace": "shop.csv"}}, "trace": "time,requests_per_second\n0,1\nx,2\n"});
    check(trace, "load.trace").await;
    let listed: Vec<Simulation> = read(get(&application, "/api/v1/simulations").await).await;
    assert_eq!(listed, []);
}

#[tokio::test]
async fn without_a_recorded_platform_or_with_too_many_jobs_none_is_taken() {
    let postgres = Postgres::start(None);
    let application = with_platform(&postgres).await;
    for _ in 0..ACTIVE_AT_MOST {
        add(&application, "1h", 1).await;
    }
    let body = json!({"scenario": scenario("1h")});
    let refused = send(&application, "POST", "/api/v1/simulations", &body).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    application.simulations.set_deployed(None);
    let refused = send(&application, "POST", "/api/v1/simulations", &body).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(read::<Problem>(refused).await.kind, "urn:marea:problem:platform-unknown");
}

#[tokio::test]
async fn replicas_share_the_jobs_and_take_over_from_one_that_leaves() {
    let postgres = Postgres::start(None);
    let (one, two) = (with_platform(&postgres).await, with_platform(&postgres).await);
    let store = &one.simulations.store;
    let (a, b) = (add(&one, "1h", 1).await, add(&two, "1h", 1).await);
    let taken = store.take("first").await.expect("PostgreSQL answers").expect("a job");
    let other = two.simulations.store.take("second").await.expect("PostgreSQL answers").expect("another job");
    assert_eq!((taken.id.as_str(), other.id.as_str()), (a.id.as_str(), b.id.as_str()));
    assert!(store.take("third").await.expect("PostgreSQL answers").is_none());
    // Nobody else may speak for a job.
    assert!(!store.go_on(&a.id, "second", 0.5).await.expect("PostgreSQL answers"));
    assert!(store.go_on(&a.id, "first", 0.5).await.expect("PostgreSQL answers"));
    assert_eq!(detail(&two, &a.id).await.simulation.progress, 0.5);
    // A replica that leaves puts its job back, and another one does it.
    store.put_back("first").await.expect("PostgreSQL answers");
    assert_eq!(detail(&two, &a.id).await.simulation.state, SimulationState::Queued);
    let working = tokio::spawn(two.simulations.clone().run("backend-b".into(), two.lifecycle.clone()));
    two.simulations.wake();
    until(&one, &a.id, SimulationState::Done).await;
    two.lifecycle.drain();
    tokio::time::timeout(DEADLINE, working).await.expect("it ends with the drain").expect("no panic");
}

#[tokio::test]
async fn a_cancelled_job_stays_cancelled_whatever_its_replica_does() {
    let postgres = Postgres::start(None);
    let application = with_platform(&postgres).await;
    let store = &application.simulations.store;
    let added = add(&application, "1h", 1).await;
    let taken = store.take("first").await.expect("PostgreSQL answers").expect("a job");
    let path = format!("/api/v1/simulations/{}", added.id);
    assert_eq!(send(&application, "DELETE", &path, &Value::Null).await.status(), StatusCode::OK);
    assert!(!store.go_on(&taken.id, "first", 0.9).await.expect("PostgreSQL answers"));
    store.finish(&taken.id, "first", &Err("too late".to_owned())).await.expect("PostgreSQL answers");
    let found = detail(&application, &added.id).await.simulation;
    assert_eq!((found.state, found.error), (SimulationState::Cancelled, None));
}
