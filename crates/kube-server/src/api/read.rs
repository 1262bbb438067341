//! Reading one object or a list, as of the last durable change.

use std::sync::Arc;

use serde_json::Value;

use kube_store::selector::Selector;
use kube_store::store::Page;

use super::Api;
use super::transaction::store_error;
use crate::error::ApiError;
use crate::registry::ResourceDef;

#[derive(Debug, Default)]
pub struct ListOptions {
    pub selector: Selector,
    pub limit: Option<usize>,
    pub continue_token: Option<String>,
    /// Only with `resourceVersionMatch=Exact`.
    pub exact_revision: Option<u64>,
}

impl Api {
    /// # Errors
    /// 404 without the object.
    pub fn get(&self, def: &ResourceDef, namespace: Option<&str>, name: &str) -> Result<Arc<Value>, ApiError> {
        let namespace = namespace.filter(|_| def.namespaced);
        let object = self
            .cache()
            .get(&def.resource, namespace, name)
            .ok_or_else(|| ApiError::not_found(&def.qualified_plural(), name))?;
        Ok(self.in_version(def, object))
    }

    /// # Errors
    /// 400 for a selector on a field that the resource does not have, 410 for a continue token that is too old.
    pub fn list(&self, def: &ResourceDef, namespace: Option<&str>, options: &ListOptions) -> Result<Page, ApiError> {
        options
            .selector
            .fields
            .check_supported(&def.resource)
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
        let store = self.store.lock();
        // What is not durable yet is ahead of `published` and must not be seen.
        let revision = options.exact_revision.unwrap_or_else(|| self.published());
        let mut page = match options.continue_token.as_deref() {
            Some(token) => store.list(&def.resource, namespace, &options.selector, options.limit, Some(token)),
            None => store.list_at(&def.resource, namespace, &options.selector, options.limit, revision),
        }
        .map_err(store_error)?;
        drop(store);
        if def.view.is_some() || def.is_custom() {
            page.items = page.items.into_iter().map(|item| self.in_version(def, item)).collect();
        }
        Ok(page)
    }

    /// A stored object as this version of its resource shows it.
    pub fn in_version(&self, def: &ResourceDef, object: Arc<Value>) -> Arc<Value> {
        if let Some(view) = &def.view {
            return Arc::new((view.from_stored)(&object));
        }
        if def.is_custom() && !def.storage {
            let mut object = Value::clone(&object);
            object["apiVersion"] = def.api_version().into();
            return Arc::new(object);
        }
        object
    }
}
