//! Custom resources: a CustomResourceDefinition's `openAPIV3Schema` as a [`Schema`].

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::{Field, GroupVersionKind, List, ListKind, Object, Scalar, Schema, Type, TypeDef};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// A schema that is not structural, in a way that leaves no meaning to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct SchemaError {
    /// `spec.validation.openAPIV3Schema.properties[spec]`
    pub path: String,
    pub problem: String,
}

impl Schema {
    /// The schema of one version of a custom resource, from its `openAPIV3Schema`. The type's name is made of group,
    /// version and kind; `metadata` is the built-in `ObjectMeta`.
    ///
    /// # Errors
    /// When the schema has an unknown type, an unknown list or map type, or a list without items or keys.
    pub fn from_crd(group: &str, version: &str, kind: &str, open_api: &Value) -> Result<Schema, SchemaError> {
        let mut schema = Schema::default();
        let builtin = Schema::builtin();
        let meta = builtin.type_named(OBJECT_META).expect("the generated types have ObjectMeta");
        let metadata = Type::from(schema.import(builtin, meta));

        let mut reader = Reader { metadata, path: String::new() };
        let mut shape = reader.read(open_api)?;
        if let Type::Object(object) = &mut shape {
            reader.add_type_meta(object);
        }
        let reversed: Vec<&str> = group.rsplit('.').collect();
        schema.insert(TypeDef {
            name: Arc::from(format!("{}.{version}.{kind}", reversed.join("."))),
            kinds: vec![GroupVersionKind { group: group.into(), version: version.into(), kind: kind.into() }],
            shape,
        });
        Ok(schema)
    }
}

struct Reader {
    metadata: Type,
    path: String,
}

impl Reader {
    fn read(&mut self, schema: &Value) -> Result<Type, SchemaError> {
        if is_set(schema, "x-kubernetes-int-or-string") {
            return Ok(Type::Scalar(Scalar::IntOrString));
        }
        let format = schema.get("format").and_then(Value::as_str);
        let scalar = match (schema.get("type").and_then(Value::as_str), format) {
            (Some("string"), Some("byte")) => Scalar::Bytes,
            (Some("string"), _) => Scalar::String,
            (Some("integer"), Some("int32")) => Scalar::Int32,
            (Some("integer"), _) => Scalar::Int64,
            (Some("number"), _) => Scalar::Number,
            (Some("boolean"), _) => Scalar::Bool,
            (Some("array"), _) => return self.read_list(schema),
            (Some("object"), _) => return self.read_object(schema),
            (None, _) if schema.get("properties").is_some() => return self.read_object(schema),
            (None, _) => return Ok(Type::Any),
            (Some(other), _) => return Err(self.error(&format!("Unsupported value: \"{other}\""))),
        };
        Ok(Type::Scalar(scalar))
    }

    fn read_list(&mut self, schema: &Value) -> Result<Type, SchemaError> {
        let kind = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
            None | Some("atomic") => ListKind::Atomic,
            Some("set") => ListKind::Set,
            Some("map") => {
                let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
                let keys: Vec<String> =
                    keys.into_iter().flatten().filter_map(|key| key.as_str().map(str::to_owned)).collect();
                if keys.is_empty() {
                    return Err(self.error("x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"));
                }
                ListKind::Map(keys)
            }
            Some(other) => return Err(self.error(&format!("x-kubernetes-list-type: Unsupported value: \"{other}\""))),
        };
        let items = schema.get("items").ok_or_else(|| self.error("items: Required value: must be specified"))?;
        let items = self.descend("items", |reader| reader.read(items))?;
        Ok(Type::List(Box::new(List { items, kind })))
    }

    fn read_object(&mut self, schema: &Value) -> Result<Type, SchemaError> {
        let atomic = match schema.get("x-kubernetes-map-type").and_then(Value::as_str) {
            None | Some("granular") => false,
            Some("atomic") => true,
            Some(other) => return Err(self.error(&format!("x-kubernetes-map-type: Unsupported value: \"{other}\""))),
        };
        let additional = match schema.get("additionalProperties") {
            Some(Value::Object(values)) => {
                let values = Value::Object(values.clone());
                Some(self.descend("additionalProperties", |reader| reader.read(&values))?)
            }
            Some(Value::Bool(true)) => Some(Type::Any),
            _ => is_set(schema, "x-kubernetes-preserve-unknown-fields").then_some(Type::Any),
        };
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let required = schema.get("required").and_then(Value::as_array);
        let mut fields = IndexMap::new();
        for (name, member) in properties {
            let ty = self.descend(&format!("properties[{name}]"), |reader| reader.read(member))?;
            let mut field = Field::new(ty);
            field.required = required.is_some_and(|names| names.iter().any(|required| required == name));
            field.nullable = is_set(member, "nullable");
            field.default = member.get("default").cloned();
            field.enumeration = member.get("enum").and_then(Value::as_array).cloned().unwrap_or_default();
            fields.insert(name.clone(), field);
        }
        let mut object = Object { fields, additional, atomic };
        if is_set(schema, "x-kubernetes-embedded-resource") {
            self.add_type_meta(&mut object);
        }
        Ok(Type::Object(Box::new(object)))
    }

    fn add_type_meta(&self, object: &mut Object) {
        for name in ["apiVersion", "kind"] {
            object.fields.insert(name.to_owned(), Field::new(Type::Scalar(Scalar::String)));
        }
        object.fields.insert("metadata".to_owned(), Field::new(self.metadata.clone()));
    }

    fn descend<T>(
        &mut self,
        step: &str,
        read: impl FnOnce(&mut Reader) -> Result<T, SchemaError>,
    ) -> Result<T, SchemaError> {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(step);
        let result = read(self);
        self.path.truncate(length);
        result
    }

    fn error(&self, problem: &str) -> SchemaError {
        let root = "spec.validation.openAPIV3Schema";
        let path = if self.path.is_empty() { root.to_owned() } else { format!("{root}.{}", self.path) };
        SchemaError { path, problem: problem.to_owned() }
    }
}

fn is_set(schema: &Value, flag: &str) -> bool {
    schema.get(flag) == Some(&Value::Bool(true))
}
