//! Structural schemas: which fields a type has, and how its lists and maps merge.
//!
//! The same shape describes Kubernetes' built-in types (generated facts, see `conformance/schemagen`) and custom
//! resources (their `openAPIV3Schema`), so that patches, field ownership and validation know only one.

mod builtin;
mod check;
mod clean;
mod crd;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

pub use builtin::KUBERNETES_VERSION;
pub use crd::SchemaError;

/// A type of one [`Schema`]; of no meaning in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeId(usize);

/// Named types that refer to each other.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    types: Vec<TypeDef>,
    names: BTreeMap<Arc<str>, TypeId>,
    kinds: BTreeMap<GroupVersionKind, TypeId>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupVersionKind {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub kind: String,
}

#[derive(Clone, Debug)]
pub struct TypeDef {
    /// `io.k8s.api.core.v1.Pod`
    pub name: Arc<str>,
    /// The API kinds of this type: one for most objects, none for their parts.
    pub kinds: Vec<GroupVersionKind>,
    pub shape: Type,
}

/// What a value may be.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    Scalar(Scalar),
    List(Box<List>),
    Object(Box<Object>),
    /// A named type; `atomic` overrides what the type says of itself.
    Named {
        id: TypeId,
        atomic: Option<bool>,
    },
    /// Anything; objects in it merge by field.
    Any,
    /// Anything, replaced as a whole.
    Raw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    String,
    /// Base64 text.
    Bytes,
    /// RFC 3339 text.
    Time,
    Int32,
    Int64,
    Number,
    Bool,
    IntOrString,
    Quantity,
}

#[derive(Clone, Debug, PartialEq)]
pub struct List {
    pub items: Type,
    pub kind: ListKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Replaced as a whole.
    Atomic,
    /// Scalars without order.
    Set,
    /// Objects with an identity: these fields together.
    Map(Vec<String>),
}

/// An object with fields, a map with free keys, or both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    pub fields: IndexMap<String, Field>,
    /// The type of values under keys that are no field; absent when there may be none.
    pub additional: Option<Type>,
    /// Replaced as a whole.
    pub atomic: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub ty: Type,
    pub required: bool,
    pub nullable: bool,
    pub when_absent: WhenAbsent,
    /// Of built-in types only scalars are kept, for keys of lists; of custom resources everything.
    pub default: Option<Value>,
    pub patch: PatchStrategy,
    /// The values that a custom resource's field may have; empty for any.
    pub enumeration: Vec<Value>,
    pub wire: Wire,
}

/// Where a built-in type's field stands in Kubernetes' protobuf; all zero for what has no place there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// Field numbers from the outside in, and zeros. More than one where JSON shows an inner message's fields as the outer's.
    pub path: [u8; 3],
    /// A pointer in Go: an empty value is not the same as none.
    pub pointer: bool,
}

/// What an absent field is in upstream's Go types, on which ownership is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenAbsent {
    #[default]
    Missing,
    /// Not omitted when empty: null, or the zero of a scalar.
    Zero,
    /// A struct that is no pointer: there, and empty.
    Empty,
}

/// How a strategic merge patch treats a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// A list is merged by `merge_key`, or as a set of scalars, instead of replaced.
    pub merge: bool,
    /// The field is replaced although it is an object.
    pub replace: bool,
    pub retain_keys: bool,
    pub merge_key: Option<String>,
}

impl Field {
    pub fn new(ty: Type) -> Field {
        Field {
            ty,
            required: false,
            nullable: false,
            when_absent: WhenAbsent::Missing,
            default: None,
            patch: PatchStrategy::default(),
            enumeration: Vec::new(),
            wire: Wire::default(),
        }
    }
}

/// A type with its names followed to the end.
#[derive(Clone, Copy, Debug)]
pub enum Resolved<'s> {
    Scalar(Scalar),
    List(&'s List),
    Object { object: &'s Object, atomic: bool },
    Any,
    Raw,
}

impl Schema {
    pub fn type_for(&self, group: &str, version: &str, kind: &str) -> Option<TypeId> {
        let key = GroupVersionKind { group: group.into(), version: version.into(), kind: kind.into() };
        self.kinds.get(&key).copied()
    }

    /// As [`Schema::type_for`], of an object's `apiVersion` and `kind`.
    pub fn type_of(&self, object: &Value) -> Option<TypeId> {
        let api_version = object.get("apiVersion")?.as_str()?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.type_for(group, version, object.get("kind")?.as_str()?)
    }

    pub fn type_named(&self, name: &str) -> Option<TypeId> {
        self.names.get(name).copied()
    }

    pub fn get(&self, id: TypeId) -> &TypeDef {
        &self.types[id.0]
    }

    /// Every type, in the order of their names for built-in ones.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, &TypeDef)> {
        self.types.iter().enumerate().map(|(at, def)| (TypeId(at), def))
    }

    /// Every API kind with its type.
    pub fn kinds(&self) -> impl Iterator<Item = (&GroupVersionKind, TypeId)> {
        self.kinds.iter().map(|(kind, id)| (kind, *id))
    }

    pub fn resolve<'s>(&'s self, ty: &'s Type) -> Resolved<'s> {
        match ty {
            Type::Scalar(scalar) => Resolved::Scalar(*scalar),
            Type::List(list) => Resolved::List(list),
            Type::Object(object) => Resolved::Object { object, atomic: object.atomic },
            Type::Any => Resolved::Any,
            Type::Raw => Resolved::Raw,
            Type::Named { id, atomic } => match (self.resolve(&self.get(*id).shape), atomic) {
                (Resolved::Object { object, .. }, Some(atomic)) => Resolved::Object { object, atomic: *atomic },
                (resolved, _) => resolved,
            },
        }
    }

    /// The field of an object's type, through names.
    pub fn field<'s>(&'s self, ty: &'s Type, name: &str) -> Option<&'s Field> {
        match self.resolve(ty) {
            Resolved::Object { object, .. } => object.fields.get(name),
            _ => None,
        }
    }

    fn insert(&mut self, def: TypeDef) -> TypeId {
        let id = TypeId(self.types.len());
        self.names.insert(def.name.clone(), id);
        self.kinds.extend(def.kinds.iter().map(|kind| (kind.clone(), id)));
        self.types.push(def);
        id
    }

    /// Copies a type of another schema and what it refers to.
    fn import(&mut self, from: &Schema, id: TypeId) -> TypeId {
        let def = from.get(id);
        if let Some(known) = self.type_named(&def.name) {
            return known;
        }
        // The name is taken before its parts are copied, so that a type may contain itself.
        let copy = self.insert(TypeDef { name: def.name.clone(), kinds: def.kinds.clone(), shape: Type::Any });
        let shape = self.import_shape(from, &def.shape);
        self.types[copy.0].shape = shape;
        copy
    }

    fn import_shape(&mut self, from: &Schema, shape: &Type) -> Type {
        match shape {
            Type::Named { id, atomic } => Type::Named { id: self.import(from, *id), atomic: *atomic },
            Type::List(list) => {
                Type::List(Box::new(List { items: self.import_shape(from, &list.items), kind: list.kind.clone() }))
            }
            Type::Object(object) => {
                let mut copy = Object::clone(object);
                for field in copy.fields.values_mut() {
                    field.ty = self.import_shape(from, &field.ty);
                }
                copy.additional = object.additional.as_ref().map(|ty| self.import_shape(from, ty));
                Type::Object(Box::new(copy))
            }
            other => other.clone(),
        }
    }
}

impl From<TypeId> for Type {
    fn from(id: TypeId) -> Type {
        Type::Named { id, atomic: None }
    }
}
