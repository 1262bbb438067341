//! Bringing a value into the shape of its type: dropping what the type does not have, filling in defaults.

use serde_json::{Map, Value};

use super::check::member;
use super::{Resolved, Schema, Type, TypeId};

impl Schema {
    /// Drops fields that the type does not have.
    pub fn prune(&self, value: &mut Value, id: TypeId) {
        self.prune_at(value, &Type::from(id));
    }

    fn prune_at(&self, value: &mut Value, ty: &Type) {
        match (self.resolve(ty), value) {
            (Resolved::Object { object, .. }, Value::Object(map)) => {
                map.retain(|name, value| {
                    let ty = member(object, name);
                    if let Some(ty) = ty {
                        self.prune_at(value, ty);
                    }
                    ty.is_some()
                });
            }
            (Resolved::List(list), Value::Array(items)) => {
                items.iter_mut().for_each(|item| self.prune_at(item, &list.items));
            }
            _ => {}
        }
    }

    /// Drops fields that are `null`, which a built-in type cannot tell from absent. Free-form parts keep them.
    pub fn drop_nulls(&self, value: &mut Value, id: TypeId) {
        self.drop_nulls_at(value, &Type::from(id));
    }

    fn drop_nulls_at(&self, value: &mut Value, ty: &Type) {
        match (self.resolve(ty), value) {
            (Resolved::Object { object, .. }, Value::Object(map)) => {
                map.retain(|_, value| !value.is_null());
                for (name, value) in map.iter_mut() {
                    if let Some(ty) = member(object, name) {
                        self.drop_nulls_at(value, ty);
                    }
                }
            }
            (Resolved::List(list), Value::Array(items)) => {
                items.iter_mut().for_each(|item| self.drop_nulls_at(item, &list.items));
            }
            _ => {}
        }
    }

    /// Fills in the defaults of a custom resource (apiextensions-apiserver `schema/defaulting/algorithm.go`): absent
    /// fields, and `null` ones that may not be null, which are dropped where there is no default.
    pub fn default_crd(&self, value: &mut Value, id: TypeId) {
        self.default_at(value, &Type::from(id));
    }

    fn default_at(&self, value: &mut Value, ty: &Type) {
        match (self.resolve(ty), value) {
            (Resolved::Object { object, .. }, Value::Object(map)) => {
                for (name, field) in &object.fields {
                    let missing = map.get(name).is_none_or(|value| value.is_null() && !field.nullable);
                    match &field.default {
                        Some(default) if missing => set(map, name, default.clone()),
                        _ if missing => {
                            map.shift_remove(name);
                        }
                        _ => {}
                    }
                }
                for (name, value) in map.iter_mut() {
                    if let Some(ty) = member(object, name) {
                        self.default_at(value, ty);
                    }
                }
            }
            (Resolved::List(list), Value::Array(items)) => {
                items.iter_mut().for_each(|item| self.default_at(item, &list.items));
            }
            _ => {}
        }
    }
}

fn set(map: &mut Map<String, Value>, name: &str, value: Value) {
    map.insert(name.to_owned(), value);
}
