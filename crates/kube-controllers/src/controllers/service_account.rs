//! Every namespace has a service account named `default`.

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube_server::{ChangeEvent, ChangeKind};
use units::Millis;

use crate::context::Context;
use crate::error::{Context as _, Error, is_already_exists};
use crate::objects::{Meta, change_key};
use crate::queue::Key;
use crate::runtime::Reconciler;

pub(crate) struct ServiceAccountController {
    context: Context,
}

impl ServiceAccountController {
    pub(crate) fn new(context: &Context) -> ServiceAccountController {
        ServiceAccountController { context: context.clone() }
    }
}

#[async_trait]
impl Reconciler for ServiceAccountController {
    fn name(&self) -> &'static str {
        "service-account"
    }

    fn affected(&self, change: &ChangeEvent, dirty: &mut Vec<Key>) {
        match (&*change.resource, &change.namespace, change.kind) {
            ("namespaces", ..) => dirty.push(change_key(change)),
            ("serviceaccounts", Some(namespace), ChangeKind::Deleted) => dirty.push(Key::cluster(&**namespace)),
            _ => {}
        }
    }

    fn all(&self) -> Vec<Key> {
        self.context.client.list::<Namespace>(None).iter().map(|namespace| namespace.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<Option<Millis>, Error> {
        let client = &self.context.client;
        let active = client.get::<Namespace>(None, &key.name).is_some_and(|namespace| !namespace.is_deleted());
        if !active || client.get::<ServiceAccount>(Some(&key.name), "default").is_some() {
            return Ok(None);
        }
        let account = ServiceAccount {
            metadata: ObjectMeta {
                name: Some("default".to_owned()),
                namespace: Some(key.name.clone()),
                ..ObjectMeta::default()
            },
            ..ServiceAccount::default()
        };
        match client.create(Some(&key.name), &account).await {
            Err(error) if !is_already_exists(&error) => {
                Err(error).context(|| format!("create the default service account of namespace {key}"))
            }
            _ => Ok(None),
        }
    }
}
