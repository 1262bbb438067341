//! Custom resources: one served version of one definition, with its schema.

use std::sync::Arc;

use serde_json::Value;

use kube_store::schema::{Schema, TypeId};
use kube_store::store::{Change, ChangeKind};

use super::Registry;
use super::definition::{Origin, ResourceDef, ScalePaths};
use super::rules;
use crate::field::FieldErrors;
use crate::json;
use crate::strategies::Strategy;

const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// A printer column of a definition.
#[derive(Clone, Debug)]
pub struct PrinterColumn {
    pub name: String,
    pub kind: String,
    pub description: String,
    pub priority: i64,
    pub path: String,
}

#[derive(Debug)]
pub struct CustomResource {
    /// `spec` of the definition.
    spec: Value,
    version: Value,
    schema: Schema,
    ty: TypeId,
    pub columns: Vec<PrinterColumn>,
}

impl CustomResource {
    /// # Errors
    /// What is wrong with the version's schema.
    pub fn new(definition: &Value, version: &Value) -> Result<CustomResource, String> {
        let spec = definition["spec"].clone();
        let text = |value: &Value, pointer: &str| json::text(value, pointer).unwrap_or_default().to_owned();
        let (group, name, kind) = (text(&spec, "/group"), text(version, "/name"), text(&spec, "/names/kind"));
        let open_api = version.pointer("/schema/openAPIV3Schema").cloned().unwrap_or(Value::Null);
        let schema = Schema::from_crd(&group, &name, &kind, &open_api).map_err(|error| error.to_string())?;
        let ty = schema.type_for(&group, &name, &kind).ok_or_else(|| format!("the schema does not describe {kind}"))?;
        let columns = json::items(version, "/additionalPrinterColumns")
            .iter()
            .map(|column| PrinterColumn {
                name: text(column, "/name"),
                kind: text(column, "/type"),
                description: text(column, "/description"),
                priority: json::integer(column, "/priority").unwrap_or(0),
                path: text(column, "/jsonPath"),
            })
            .collect();
        Ok(CustomResource { spec, version: version.clone(), schema, ty, columns })
    }

    pub fn schema(&self) -> (&Schema, TypeId) {
        (&self.schema, self.ty)
    }

    /// The version's `openAPIV3Schema` as written.
    pub fn open_api(&self) -> Option<&Value> {
        self.version.pointer("/schema/openAPIV3Schema")
    }

    pub fn definition(self: Arc<CustomResource>) -> ResourceDef {
        let text = |pointer: &str| json::text(&self.spec, pointer).unwrap_or_default().to_owned();
        let list = |pointer: &str| -> Vec<String> {
            json::items(&self.spec, pointer).iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
        };
        let (plural, group) = (text("/names/plural"), text("/group"));
        ResourceDef {
            resource: format!("{plural}.{group}").into(),
            version: json::text(&self.version, "/name").unwrap_or_default().to_owned(),
            singular: text("/names/singular"),
            kind: text("/names/kind"),
            list_kind: text("/names/listKind"),
            short_names: list("/names/shortNames"),
            categories: list("/names/categories"),
            namespaced: text("/scope") == "Namespaced",
            served: json::flag(&self.version, "/served"),
            storage: json::flag(&self.version, "/storage"),
            status: self.version.pointer("/subresources/status").is_some(),
            scale: self.scale_paths(),
            subresources: Vec::new(),
            view: None,
            plural,
            group,
            origin: Origin::Custom(self),
        }
    }

    fn scale_paths(&self) -> Option<ScalePaths> {
        let scale = self.version.pointer("/subresources/scale")?;
        // `.spec.replicas` is `/spec/replicas` as a pointer.
        let pointer = |field: &str| json::text(scale, field).map(|path| path.replace('.', "/"));
        Some(ScalePaths {
            replicas: pointer("/specReplicasPath")?,
            status_replicas: pointer("/statusReplicasPath")?,
            selector: pointer("/labelSelectorPath"),
        })
    }

    /// The pruned object and the fields that pruning dropped.
    pub fn decode(&self, mut value: Value) -> Result<(Value, Vec<String>), String> {
        let unknown = self.schema.unknown_fields(&value, self.ty);
        self.schema.prune(&mut value, self.ty);
        Ok((value, unknown))
    }
}

impl Strategy for CustomResource {
    fn has_generation(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        self.schema.default_crd(object, self.ty);
    }

    fn reset_status(&self, object: &mut Value) {
        json::remove(object, "status");
    }

    fn validate(&self, object: &Value, errors: &mut FieldErrors) {
        for problem in self.schema.type_errors(object, self.ty) {
            errors.push(problem.path, "FieldValueTypeInvalid", problem.message);
        }
        if let Some(open_api) = self.open_api() {
            rules::validate(open_api, object, "", errors);
        }
    }
}

/// The served versions of a definition; one that does not parse is left out, validation kept it from being stored.
fn versions(definition: &Value) -> Vec<Arc<CustomResource>> {
    json::items(definition, "/spec/versions")
        .iter()
        .filter_map(|version| CustomResource::new(definition, version).ok().map(Arc::new))
        .collect()
}

pub fn register(registry: &Registry, definition: &Value) {
    registry.set_custom(json::name(definition), versions(definition));
}

/// Keeps the table current with the definitions that are stored.
pub fn follow(registry: &Registry, change: &Change) {
    if &*change.key.resource != DEFINITIONS {
        return;
    }
    if change.kind == ChangeKind::Deleted {
        registry.set_custom(&change.key.name, Vec::new());
    } else {
        register(registry, &change.object);
    }
}
