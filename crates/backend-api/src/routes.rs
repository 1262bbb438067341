//! Every route of the backend. The OpenAPI document and the server's coverage test are made from this list.

pub const HEALTH: &str = "/health";
pub const READY: &str = "/ready";
pub const METRICS: &str = "/metrics";
pub const OPENAPI: &str = "/api/openapi.json";
pub const OVERVIEW: &str = "/api/v1/overview";
pub const POOLS: &str = "/api/v1/pools";
pub const NODES: &str = "/api/v1/nodes";
pub const PODS: &str = "/api/v1/pods";
pub const HPAS: &str = "/api/v1/hpas";
pub const STACKS: &str = "/api/v1/stacks";
pub const EVENTS: &str = "/api/v1/events";
pub const STREAM: &str = "/api/v1/stream";
pub const WORK: &str = "/api/v1/work";
pub const SIMULATIONS: &str = "/api/v1/simulations";
pub const SIMULATION: &str = "/api/v1/simulations/{id}";

/// What a successful answer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Text,
    /// The OpenAPI document itself.
    Document,
    One(&'static str),
    Many(&'static str),
    /// Server-sent events with these types as data.
    Stream(&'static [&'static str]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Delete,
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever reaches the backend: network policies and the ingress decide who does.
    Anybody,
    /// Whoever has the change token, where one is configured.
    Change,
}

#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub method: Method,
    pub access: Access,
    pub path: &'static str,
    pub operation: &'static str,
    pub summary: &'static str,
    pub answer: Answer,
    /// May answer 503 while PostgreSQL or the cluster cannot be reached.
    pub needs_others: bool,
}

const fn route(
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
    answer: Answer,
    needs_others: bool,
) -> Route {
    Route { method: Method::Get, access: Access::Anybody, path, operation, summary, answer, needs_others }
}

const fn change(
    method: Method,
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
    answer: Answer,
) -> Route {
    Route { method, access: Access::Change, path, operation, summary, answer, needs_others: true }
}

/// Everything that is served: the server's router, its authorisation and the document are made of this list.
pub const ROUTES: &[Route] = &[
    route(HEALTH, "health", "The process lives; asks nobody else", Answer::Text, false),
    route(
        READY,
        "ready",
        "Migrations are applied, PostgreSQL answers and the cluster was read once; 503 while draining",
        Answer::Text,
        true,
    ),
    route(METRICS, "metrics", "Prometheus metrics", Answer::Text, false),
    route(OPENAPI, "openapi", "This document", Answer::Document, false),
    route(
        OVERVIEW,
        "overview",
        "The platform at a glance, from the cluster and from PostgreSQL",
        Answer::One("Overview"),
        true,
    ),
    route(POOLS, "pools", "Node pools", Answer::Many("Pool"), true),
    route(NODES, "nodes", "Nodes", Answer::Many("Node"), true),
    route(PODS, "pods", "Pods", Answer::Many("Pod"), true),
    route(HPAS, "hpas", "Autoscalers with the reasons behind their steps", Answer::Many("Hpa"), true),
    route(STACKS, "stacks", "Stacks as last deployed", Answer::Many("StackRecord"), true),
    route(EVENTS, "events", "Kubernetes events, newest first", Answer::Many("Event"), true),
    route(
        STREAM,
        "stream",
        "Live view as server-sent events: `snapshot`, then `changes`",
        Answer::Stream(&["Snapshot", "Changes"]),
        true,
    ),
    route(
        WORK,
        "work",
        "A bounded piece of CPU work and one PostgreSQL query, for load tests",
        Answer::One("Work"),
        true,
    ),
    route(SIMULATIONS, "simulations", "Simulations, newest first", Answer::Many("Simulation"), true),
    route(SIMULATION, "simulation", "A simulation with its result", Answer::One("SimulationDetail"), true),
    change(
        Method::Post,
        SIMULATIONS,
        "simulate",
        "Simulates the deployed platform under a load, as a job of whichever replica is free",
        Answer::One("Simulation"),
    ),
    change(
        Method::Delete,
        SIMULATION,
        "cancelSimulation",
        "Cancels a simulation that waits or runs, forgets one that has ended",
        Answer::One("Simulation"),
    ),
];
