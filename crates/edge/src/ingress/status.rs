//! Writes the load balancer's address into the Ingresses' status, as `ingressendpoint.publishedservice` asks for.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::{Ingress, IngressLoadBalancerIngress, IngressLoadBalancerStatus, IngressStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use std::sync::Arc;

/// Replaces what is out of date. Several replicas may do so at once: they write the same.
pub async fn publish(
    client: &Client,
    ingresses: &[Arc<Ingress>],
    services: &[Arc<Service>],
    (namespace, name): &(String, String),
) {
    let published = services.iter().find(|service| {
        service.metadata.namespace.as_ref() == Some(namespace) && service.metadata.name.as_ref() == Some(name)
    });
    let Some(wanted) = published.map(|service| addresses(service)) else { return };
    for ingress in ingresses {
        let current = ingress
            .status
            .as_ref()
            .and_then(|status| status.load_balancer.as_ref()?.ingress.clone())
            .unwrap_or_default();
        if current == wanted {
            continue;
        }
        let mut updated = (**ingress).clone();
        let load_balancer = IngressLoadBalancerStatus { ingress: Some(wanted.clone()) };
        updated.status = Some(IngressStatus { load_balancer: Some(load_balancer) });
        let api: Api<Ingress> =
            Api::namespaced(client.clone(), ingress.metadata.namespace.as_deref().unwrap_or_default());
        let name = ingress.metadata.name.as_deref().unwrap_or_default();
        // A conflict means that the Ingress has just changed; the next pass sees it as it then is.
        if let Err(error) = api.replace_status(name, &PostParams::default(), &updated).await {
            tracing::debug!(ingress = name, %error, "its status cannot be written now");
        }
    }
}

fn addresses(service: &Service) -> Vec<IngressLoadBalancerIngress> {
    let points = service
        .status
        .iter()
        .filter_map(|status| status.load_balancer.as_ref())
        .flat_map(|status| status.ingress.iter().flatten());
    points
        .map(|point| IngressLoadBalancerIngress { ip: point.ip.clone(), hostname: point.hostname.clone(), ports: None })
        .collect()
}
