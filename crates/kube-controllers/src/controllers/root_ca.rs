//! Every namespace has a config map `kube-root-ca.crt` with the certificate by which pods recognise the API server.

use std::collections::BTreeMap;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_server::ChangeEvent;
use units::Millis;

use crate::context::Context;
use crate::error::{Context as _, Error, ignore_gone, is_already_exists};
use crate::objects::{Meta, change_key};
use crate::queue::Key;
use crate::runtime::Reconciler;

const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

pub(crate) struct RootCaController {
    context: Context,
}

impl RootCaController {
    pub(crate) fn new(context: &Context) -> RootCaController {
        RootCaController { context: context.clone() }
    }

    fn wanted(&self, namespace: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(namespace.to_owned()),
                annotations: Some([("kubernetes.io/description".to_owned(), DESCRIPTION.to_owned())].into()),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([("ca.crt".to_owned(), self.context.config.root_ca_pem.clone())])),
            ..ConfigMap::default()
        }
    }
}

#[async_trait]
impl Reconciler for RootCaController {
    fn name(&self) -> &'static str {
        "root-ca"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        match (&*change.resource, &change.namespace, &*change.name) {
            ("namespaces", ..) => dirty.push(change_key(change)),
            ("configmaps", Some(namespace), NAME) => dirty.push(Key::cluster(&**namespace)),
            _ => {}
        }
    }

    fn all(&self) -> Vec<Key> {
        self.context.client.list::<Namespace>(None).iter().map(|namespace| namespace.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error> {
        let client = &self.context.client;
        let active = client.get::<Namespace>(None, &key.name).is_some_and(|namespace| !namespace.is_deleted());
        if !active || self.context.config.root_ca_pem.is_empty() {
            return Ok(None);
        }
        let wanted = self.wanted(&key.name);
        let operation = || format!("write config map {NAME} of namespace {key}");
        match client.get::<ConfigMap>(Some(&key.name), NAME) {
            None => match client.create(Some(&key.name), &wanted).await {
                Err(error) if !is_already_exists(&error) => return Err(error).context(operation),
                _ => {}
            },
            Some(current) if current.data != wanted.data => {
                let updated = ConfigMap { data: wanted.data, ..(*current).clone() };
                ignore_gone(client.update(&updated).await).context(operation)?;
            }
            Some(_) => {}
        }
        Ok(None)
    }
}
