//! What the resource quotas of a namespace count. Admission counts what is being created; this recounts what is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use decide::wire;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota, ResourceQuotaStatus, Service};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as WireQuantity;
use kube_server::ChangeEvent;
use units::{Millis, Quantity};

use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone};
use crate::objects::{Meta, change_key};
use crate::pods;
use crate::queue::Key;
use crate::runtime::Reconciler;

pub(crate) struct QuotaController {
    context: Context,
}

impl QuotaController {
    pub(crate) fn new(context: &Context) -> QuotaController {
        QuotaController { context: context.clone() }
    }
}

#[async_trait]
impl Reconciler for QuotaController {
    fn name(&self) -> &'static str {
        "resource-quota"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        match (&*change.resource, change.namespace.as_deref()) {
            ("resourcequotas", _) => dirty.push(change_key(change)),
            ("events" | "events.events.k8s.io" | "leases.coordination.k8s.io", _) | (_, None) => {}
            (_, Some(namespace)) => {
                dirty
                    .extend(self.context.client.list::<ResourceQuota>(Some(namespace)).iter().map(|quota| quota.key()));
            }
        }
    }

    fn all(&self) -> Vec<Key> {
        self.context.client.list::<ResourceQuota>(None).iter().map(|quota| quota.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error> {
        let client = &self.context.client;
        let Some(quota) = client.get::<ResourceQuota>(key.namespace(), &key.name) else { return Ok(None) };
        let hard = quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
        let mut used = BTreeMap::new();
        for resource in hard.keys() {
            if let Some(amount) = self.used(&quota, resource)? {
                used.insert(resource.clone(), WireQuantity(amount.to_string()));
            }
        }
        let status = ResourceQuotaStatus { hard: Some(hard), used: Some(used) };
        if quota.status.as_ref() != Some(&status) {
            let updated = ResourceQuota { status: Some(status), ..(*quota).clone() };
            let outcome = ignore_gone(client.update_status(&updated).await);
            outcome.context(|| format!("write the status of quota {key}"))?;
        }
        Ok(None)
    }
}

impl QuotaController {
    /// Nothing for a resource that is not counted here; admission does not limit it either.
    fn used(&self, quota: &ResourceQuota, resource: &str) -> Result<Option<Quantity>, Error> {
        let client = &self.context.client;
        let namespace = Some(quota.namespace());
        if let Some(counted) = resource.strip_prefix("count/") {
            return Ok(Some(number(client.list_raw(counted, namespace).len())));
        }
        Ok(match resource {
            "pods" => Some(number(self.pods(quota).len())),
            "cpu" | "memory" | "ephemeral-storage" => Some(self.sum_of_pods(quota, resource, false)?),
            "services" => Some(number(client.list::<Service>(namespace).len())),
            "services.loadbalancers" => Some(number(self.services(quota, &["LoadBalancer"]))),
            "services.nodeports" => Some(number(self.services(quota, &["NodePort", "LoadBalancer"]))),
            "configmaps" | "secrets" | "persistentvolumeclaims" | "replicationcontrollers" | "resourcequotas" => {
                Some(number(client.list_raw(resource, namespace).len()))
            }
            "requests.storage" => Some(self.requested_storage(quota)?),
            other => match (other.strip_prefix("requests."), other.strip_prefix("limits.")) {
                (Some(name), _) => Some(self.sum_of_pods(quota, name, false)?),
                (_, Some(name)) => Some(self.sum_of_pods(quota, name, true)?),
                _ => None,
            },
        })
    }

    fn services(&self, quota: &ResourceQuota, kinds: &[&str]) -> usize {
        let services = self.context.client.list::<Service>(Some(quota.namespace()));
        let kind = |service: &Service| service.spec.as_ref().and_then(|spec| spec.type_.clone()).unwrap_or_default();
        services.iter().filter(|service| kinds.contains(&kind(service).as_str())).count()
    }

    /// The pods in the quota's scopes that have not ended.
    fn pods(&self, quota: &ResourceQuota) -> Vec<Arc<Pod>> {
        let scopes = quota.spec.as_ref().and_then(|spec| spec.scopes.clone()).unwrap_or_default();
        let mut found = self.context.client.list::<Pod>(Some(quota.namespace()));
        found.retain(|pod| !pods::is_finished(pod) && scopes.iter().all(|scope| in_scope(pod, scope)));
        found
    }

    fn sum_of_pods(&self, quota: &ResourceQuota, resource: &str, limits: bool) -> Result<Quantity, Error> {
        let mut total = 0;
        for pod in self.pods(quota) {
            total += amount(&pod, resource, limits)?;
        }
        Ok(quantity(resource, total))
    }

    fn requested_storage(&self, quota: &ResourceQuota) -> Result<Quantity, Error> {
        let mut total = 0;
        for claim in self.context.client.list::<PersistentVolumeClaim>(Some(quota.namespace())) {
            let requests =
                claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.clone()).unwrap_or_default();
            total += requests.get("storage").map_or(Ok(0), millis)?;
        }
        Ok(quantity("storage", total))
    }
}

fn number(count: usize) -> Quantity {
    Quantity::from_millis(i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(1000))
}

/// Thousandths in the form in which the resource is usually written.
fn quantity(resource: &str, millis: i64) -> Quantity {
    match resource {
        "memory" | "storage" | "ephemeral-storage" => Quantity::from_bytes(millis / 1000),
        _ => Quantity::from_millis(millis),
    }
}

fn millis(quantity: &WireQuantity) -> Result<i64, Error> {
    quantity.0.parse::<Quantity>().map(Quantity::millis).map_err(|error| Error::Invalid(error.to_string()))
}

/// The larger of the sum over containers and the largest init container, in thousandths.
fn amount(pod: &Pod, resource: &str, limits: bool) -> Result<i64, Error> {
    let Some(spec) = &pod.spec else { return Ok(0) };
    let of = |resources: Option<&k8s_openapi::api::core::v1::ResourceRequirements>| {
        let list = resources
            .and_then(|resources| if limits { resources.limits.as_ref() } else { resources.requests.as_ref() });
        list.and_then(|list| list.get(resource)).map_or(Ok(0), millis)
    };
    let mut sum = 0;
    for container in &spec.containers {
        sum += of(container.resources.as_ref())?;
    }
    let mut largest = 0;
    for container in spec.init_containers.iter().flatten() {
        let own = of(container.resources.as_ref())?;
        if container.restart_policy.as_deref() == Some("Always") {
            sum += own;
        } else {
            largest = largest.max(own);
        }
    }
    Ok(sum.max(largest))
}

fn in_scope(pod: &Pod, scope: &str) -> bool {
    let terminating = pod.spec.as_ref().is_some_and(|spec| spec.active_deadline_seconds.is_some());
    let view = || wire::pod::pod_view(pod);
    let best_effort = || {
        pod.status
            .as_ref()
            .and_then(|status| status.qos_class.as_deref())
            .map_or_else(|| view().requests.is_zero(), |class| class == "BestEffort")
    };
    match scope {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        _ => true,
    }
}
