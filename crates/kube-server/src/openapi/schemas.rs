//! The schemas of a document: the resources' own types and everything that they refer to.

use kube_store::schema::{Field, ListKind, Object, Scalar, Schema, Type, TypeId};
use serde_json::{Map, Value, json};

use super::{Body, Described, descriptions};

#[derive(Default)]
pub(super) struct Schemas {
    done: Map<String, Value>,
    /// Types that something refers to and that are still to be written.
    pending: Vec<TypeId>,
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

impl Schemas {
    /// Adds a resource's type and returns its name.
    pub fn add(&mut self, group: &str, version: &str, resource: &Described<'_>) -> String {
        match resource.body {
            Body::Custom(schema) => self.add_custom(group, version, resource.kind, schema),
            Body::BuiltIn => {
                let builtin = Schema::builtin();
                match builtin.type_for(group, version, resource.kind) {
                    Some(id) => {
                        self.pending.push(id);
                        builtin.get(id).name.to_string()
                    }
                    // What is computed on the fly (metrics, decisions) has no structure to show.
                    None => self.add_custom(group, version, resource.kind, &json!({"type": "object"})),
                }
            }
        }
    }

    fn add_custom(&mut self, group: &str, version: &str, kind: &str, schema: &Value) -> String {
        let reversed: Vec<&str> = group.rsplit('.').collect();
        let name = format!("{}.{version}.{kind}", reversed.join("."));
        let mut schema = schema.clone();
        if let Some(fields) = schema.as_object_mut() {
            let properties = fields.entry("properties").or_insert_with(|| json!({}));
            properties["apiVersion"] = json!({"type": "string"});
            properties["kind"] = json!({"type": "string"});
            properties["metadata"] = reference(OBJECT_META);
            let kind = json!([{"group": group, "version": version, "kind": kind}]);
            fields.insert("x-kubernetes-group-version-kind".to_owned(), kind);
        }
        if let Some(id) = Schema::builtin().type_named(OBJECT_META) {
            self.pending.push(id);
        }
        self.done.insert(name.clone(), schema);
        name
    }

    pub fn finish(mut self) -> Map<String, Value> {
        let builtin = Schema::builtin();
        while let Some(id) = self.pending.pop() {
            let definition = builtin.get(id);
            if self.done.contains_key(&*definition.name) {
                continue;
            }
            let mut schema = self.schema_of(&definition.shape);
            describe(&definition.name, &mut schema);
            if !definition.kinds.is_empty() {
                let kinds: Vec<Value> = definition
                    .kinds
                    .iter()
                    .map(|kind| json!({"group": kind.group, "version": kind.version, "kind": kind.kind}))
                    .collect();
                schema["x-kubernetes-group-version-kind"] = kinds.into();
            }
            self.done.insert(definition.name.to_string(), schema);
        }
        self.done
    }

    fn schema_of(&mut self, ty: &Type) -> Value {
        match ty {
            Type::Scalar(scalar) => scalar_schema(*scalar),
            Type::List(list) => {
                let mut schema = json!({"type": "array", "items": self.schema_of(&list.items)});
                match &list.kind {
                    ListKind::Atomic => schema["x-kubernetes-list-type"] = json!("atomic"),
                    ListKind::Set => schema["x-kubernetes-list-type"] = json!("set"),
                    ListKind::Map(keys) => {
                        schema["x-kubernetes-list-type"] = json!("map");
                        schema["x-kubernetes-list-map-keys"] = json!(keys);
                    }
                }
                schema
            }
            Type::Object(object) => self.object_schema(object),
            Type::Named { id, .. } => {
                self.pending.push(*id);
                reference(&Schema::builtin().get(*id).name)
            }
            Type::Any | Type::Raw => json!({"type": "object"}),
        }
    }

    fn object_schema(&mut self, object: &Object) -> Value {
        let mut schema = json!({"type": "object"});
        if !object.fields.is_empty() {
            let properties: Map<String, Value> =
                object.fields.iter().map(|(name, field)| (name.clone(), self.field_schema(field))).collect();
            schema["properties"] = properties.into();
            let required: Vec<&String> =
                object.fields.iter().filter(|(_, field)| field.required).map(|(name, _)| name).collect();
            if !required.is_empty() {
                schema["required"] = json!(required);
            }
        }
        if let Some(additional) = &object.additional {
            schema["additionalProperties"] = self.schema_of(additional);
        }
        if object.atomic {
            schema["x-kubernetes-map-type"] = json!("atomic");
        }
        schema
    }

    fn field_schema(&mut self, field: &Field) -> Value {
        let mut schema = self.schema_of(&field.ty);
        if let Some(default) = &field.default {
            schema["default"] = default.clone();
        }
        let mut strategies = Vec::new();
        if field.patch.retain_keys {
            strategies.push("retainKeys");
        }
        if field.patch.merge {
            strategies.push("merge");
        }
        if field.patch.replace {
            strategies.push("replace");
        }
        if !strategies.is_empty() {
            schema["x-kubernetes-patch-strategy"] = json!(strategies.join(","));
        }
        if let Some(key) = &field.patch.merge_key {
            schema["x-kubernetes-patch-merge-key"] = json!(key);
        }
        schema
    }
}

fn describe(name: &str, schema: &mut Value) {
    if let Some(text) = descriptions::of_type(name) {
        schema["description"] = json!(text);
    }
    for (field, property) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        let Some(text) = descriptions::of_field(name, field) else { continue };
        // In OpenAPI 3.0 nothing counts beside a reference, so it moves into a list of one.
        if let Some(reference) = property.as_object_mut().and_then(|property| property.remove("$ref")) {
            property["allOf"] = json!([{"$ref": reference}]);
        }
        property["description"] = json!(text);
    }
}

fn scalar_schema(scalar: Scalar) -> Value {
    match scalar {
        Scalar::String => json!({"type": "string"}),
        Scalar::Bytes => json!({"type": "string", "format": "byte"}),
        Scalar::Time => json!({"type": "string", "format": "date-time"}),
        Scalar::Int32 => json!({"type": "integer", "format": "int32"}),
        Scalar::Int64 => json!({"type": "integer", "format": "int64"}),
        Scalar::Number => json!({"type": "number", "format": "double"}),
        Scalar::Bool => json!({"type": "boolean"}),
        Scalar::IntOrString => json!({"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"}),
        Scalar::Quantity => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
    }
}
