//! What is wrong with a value of a type: unknown fields, wrong JSON types.

use serde_json::Value;

use super::{Object, Resolved, Scalar, Schema, Type, TypeId};
use crate::path;

/// A value that its type cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeProblem {
    /// `spec.containers[0].image`
    pub path: String,
    /// In the words of the API: `json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of
    /// type int32`.
    pub message: String,
}

impl Schema {
    /// The paths of fields that the type does not have, as upstream's strict decoding names them: prefixed with
    /// `unknown field` and quoted they are its message.
    pub fn unknown_fields(&self, value: &Value, id: TypeId) -> Vec<String> {
        let mut found = Vec::new();
        self.unknown_at(value, &Type::from(id), &mut String::new(), &mut found);
        found
    }

    fn unknown_at(&self, value: &Value, ty: &Type, at: &mut String, found: &mut Vec<String>) {
        match (self.resolve(ty), value) {
            (Resolved::Object { object, .. }, Value::Object(map)) => {
                for (name, value) in map {
                    let length = at.len();
                    push_field(at, name);
                    match member(object, name) {
                        Some(ty) => self.unknown_at(value, ty, at, found),
                        None => found.push(at.clone()),
                    }
                    at.truncate(length);
                }
            }
            (Resolved::List(list), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let length = at.len();
                    at.push_str(&format!("[{index}]"));
                    self.unknown_at(item, &list.items, at, found);
                    at.truncate(length);
                }
            }
            _ => {}
        }
    }

    /// Values whose JSON type does not fit. `null` fits everywhere: it means absent.
    pub fn type_errors(&self, value: &Value, id: TypeId) -> Vec<TypeProblem> {
        let ty = Type::from(id);
        let mut check = TypeCheck { schema: self, at: String::new(), fields: String::new(), found: Vec::new() };
        check.visit(value, &ty, self.short_name(id));
        check.found
    }

    fn short_name(&self, id: TypeId) -> &str {
        self.get(id).name.rsplit('.').next().unwrap_or_default()
    }

    /// The name of a type as Go prints it.
    fn go_name(&self, ty: &Type) -> String {
        match ty {
            Type::Named { id, .. } => match self.resolve(ty) {
                Resolved::Object { .. } => {
                    let mut parts = self.get(*id).name.rsplit('.');
                    let (name, package) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                    format!("{package}.{name}")
                }
                Resolved::Scalar(scalar) => scalar.go_name().to_owned(),
                _ => "map[string]interface {}".to_owned(),
            },
            Type::Scalar(scalar) => scalar.go_name().to_owned(),
            Type::List(list) => format!("[]{}", self.go_name(&list.items)),
            Type::Object(object) => match &object.additional {
                Some(values) => format!("map[string]{}", self.go_name(values)),
                None => "object".to_owned(),
            },
            Type::Any | Type::Raw => "interface {}".to_owned(),
        }
    }
}

impl Scalar {
    fn go_name(self) -> &'static str {
        match self {
            Scalar::String => "string",
            Scalar::Bytes => "[]uint8",
            Scalar::Time => "v1.Time",
            Scalar::Int32 => "int32",
            Scalar::Int64 => "int64",
            Scalar::Number => "float64",
            Scalar::Bool => "bool",
            Scalar::IntOrString => "intstr.IntOrString",
            Scalar::Quantity => "resource.Quantity",
        }
    }

    pub(super) fn accepts(self, value: &Value) -> bool {
        match self {
            Scalar::String | Scalar::Bytes | Scalar::Time => value.is_string(),
            Scalar::Int32 => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            Scalar::Int64 => value.as_i64().is_some(),
            Scalar::Number => value.is_number(),
            Scalar::Bool => value.is_boolean(),
            Scalar::IntOrString => value.is_string() || value.as_i64().is_some(),
            Scalar::Quantity => value.is_string() || value.is_number(),
        }
    }
}

/// The type of a field or of a free key.
pub(super) fn member<'o>(object: &'o Object, name: &str) -> Option<&'o Type> {
    object.fields.get(name).map(|field| &field.ty).or(object.additional.as_ref())
}

fn push_field(at: &mut String, name: &str) {
    if !at.is_empty() {
        at.push('.');
    }
    at.push_str(name);
}

struct TypeCheck<'s> {
    schema: &'s Schema,
    /// With indices, for people.
    at: String,
    /// Without them, as Go's decoder counts fields.
    fields: String,
    found: Vec<TypeProblem>,
}

impl<'s> TypeCheck<'s> {
    fn visit(&mut self, value: &Value, ty: &'s Type, owner: &str) {
        if value.is_null() {
            return;
        }
        match (self.schema.resolve(ty), value) {
            (Resolved::Any | Resolved::Raw, _) => {}
            (Resolved::Object { object, .. }, Value::Object(map)) => {
                let owner = match ty {
                    Type::Named { id, .. } => self.schema.short_name(*id),
                    _ => owner,
                };
                for (name, value) in map {
                    if let Some(ty) = member(object, name) {
                        self.descend(name, value, ty, owner);
                    }
                }
            }
            (Resolved::List(list), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let length = self.at.len();
                    self.at.push_str(&format!("[{index}]"));
                    self.visit(item, &list.items, owner);
                    self.at.truncate(length);
                }
            }
            (Resolved::Scalar(scalar), value) if scalar.accepts(value) => {}
            _ => self.report(value, ty, owner),
        }
    }

    fn descend(&mut self, name: &str, value: &Value, ty: &'s Type, owner: &str) {
        let lengths = (self.at.len(), self.fields.len());
        push_field(&mut self.at, name);
        push_field(&mut self.fields, name);
        self.visit(value, ty, owner);
        self.at.truncate(lengths.0);
        self.fields.truncate(lengths.1);
    }

    fn report(&mut self, value: &Value, ty: &Type, owner: &str) {
        let kind = match value {
            // Go names the number where its type is right and its range or fraction is not.
            Value::Number(number)
                if matches!(self.schema.resolve(ty), Resolved::Scalar(Scalar::Int32 | Scalar::Int64)) =>
            {
                format!("number {number}")
            }
            other => path::type_name(other).to_owned(),
        };
        let message = format!(
            "json: cannot unmarshal {kind} into Go struct field {owner}.{} of type {}",
            self.fields,
            self.schema.go_name(ty)
        );
        self.found.push(TypeProblem { path: self.at.clone(), message });
    }
}
