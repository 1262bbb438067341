//! A stand-in for kube-state-metrics: what the API server holds of pods, nodes, deployments and autoscalers, under the names
//! and labels of the genuine program (v2.17), as far as the platform's rules and dashboards read them.
pub mod flags;
pub mod render;
pub mod run;
