//! One file per controller, and the list of them.

mod backends;
mod deployment;
mod disruption;
mod disruption_target;
mod endpoints;
mod endpointslice;
mod garbage_collector;
mod hpa;
mod namespace;
mod pod_gc;
mod replicaset;
mod root_ca;
mod service_account;

use std::sync::Arc;

use crate::context::Context;
use crate::runtime::Reconciler;

/// Every controller of a cluster.
pub(crate) fn all(context: &Context) -> Vec<Arc<dyn Reconciler>> {
    vec![
        Arc::new(deployment::DeploymentController::new(context)),
        Arc::new(disruption::DisruptionController::new(context)),
        Arc::new(endpoints::EndpointsController::new(context)),
        Arc::new(endpointslice::EndpointSliceController::new(context)),
        Arc::new(garbage_collector::GarbageCollector::new(context)),
        Arc::new(hpa::HpaController::new(context)),
        Arc::new(namespace::NamespaceController::new(context)),
        Arc::new(pod_gc::PodGarbageCollector::new(context)),
        Arc::new(replicaset::ReplicaSetController::new(context)),
        Arc::new(root_ca::RootCaController::new(context)),
        Arc::new(service_account::ServiceAccountController::new(context)),
    ]
}
