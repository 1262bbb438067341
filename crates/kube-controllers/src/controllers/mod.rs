//! One file per controller, and the list of them.

mod autoscaler;
mod backends;
mod cron;
mod cronjob;
mod daemonset;
mod deployment;
mod disruption;
mod disruption_target;
mod endpoints;
mod endpointslice;
mod garbage_collector;
mod hpa;
mod job;
mod job_ttl;
mod namespace;
mod node_lifecycle;
mod pod_gc;
mod quota;
mod replicaset;
mod root_ca;
mod scheduler;
mod service_account;
mod statefulset;

use std::sync::Arc;

use crate::context::Context;
use crate::runtime::Reconciler;
pub(crate) use scheduler::batch;

/// Every controller of a cluster.
pub(crate) fn all(context: &Context) -> Vec<Arc<dyn Reconciler>> {
    vec![
        Arc::new(autoscaler::Autoscaler::new(context)),
        Arc::new(cronjob::CronJobController::new(context)),
        Arc::new(daemonset::DaemonSetController::new(context)),
        Arc::new(deployment::DeploymentController::new(context)),
        Arc::new(disruption::DisruptionController::new(context)),
        Arc::new(endpoints::EndpointsController::new(context)),
        Arc::new(endpointslice::EndpointSliceController::new(context)),
        Arc::new(garbage_collector::GarbageCollector::new(context)),
        Arc::new(hpa::HpaController::new(context)),
        Arc::new(job::JobController::new(context)),
        Arc::new(job_ttl::JobTtlController::new(context)),
        Arc::new(namespace::NamespaceController::new(context)),
        Arc::new(node_lifecycle::NodeLifecycleController::new(context)),
        Arc::new(pod_gc::PodGarbageCollector::new(context)),
        Arc::new(quota::QuotaController::new(context)),
        Arc::new(replicaset::ReplicaSetController::new(context)),
        Arc::new(root_ca::RootCaController::new(context)),
        Arc::new(scheduler::Scheduler::new(context)),
        Arc::new(service_account::ServiceAccountController::new(context)),
        Arc::new(statefulset::StatefulSetController::new(context)),
    ]
}
