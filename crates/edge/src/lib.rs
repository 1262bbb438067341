//! What stands at the platform's edge on one machine: programs that take the place of images that are not there.
//!
//! `ingress` stands in for Traefik v3, `operator` for the prometheus-operator, `state` for kube-state-metrics, each as far as the platform's manifests
//! use it. All watch the Kubernetes API as the genuine ones do, so that the manifests are the same everywhere.
pub mod ingress;
pub mod operator;
pub mod program;
pub mod state;
pub mod watched;
