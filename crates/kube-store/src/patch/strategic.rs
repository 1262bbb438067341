//! Strategic merge patch (upstream: apimachinery `util/strategicpatch/patch.go`, v0.36.3).
//!
//! As a JSON merge patch, except that lists which have a merge key, or are sets of scalars, merge by element, and that
//! directives in the patch say what merging cannot: `$patch`, `$retainKeys`, `$setElementOrder/<list>` and
//! `$deleteFromPrimitiveList/<list>`.

use serde_json::{Map, Value};

use super::PatchError;
use super::order::normalized;
use crate::schema::{Field, PatchStrategy, Resolved, Schema, Type, TypeId};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList";
const ORDER_PREFIX: &str = "$setElementOrder";

type Object = Map<String, Value>;

/// `live`, which is of type `id`, with `patch` merged in.
///
/// # Errors
/// [`PatchError::Invalid`] for a malformed directive or a list element without its merge key.
pub fn strategic(live: &Value, patch: &Value, schema: &Schema, id: TypeId) -> Result<Value, PatchError> {
    let (Value::Object(live), Value::Object(patch)) = (live, patch) else {
        return Err(invalid("invalid JSON document"));
    };
    let ty = Type::from(id);
    Merger { schema }.map(live.clone(), patch.clone(), Some(&ty)).map(Value::Object)
}

fn invalid(problem: impl Into<String>) -> PatchError {
    PatchError::Invalid(problem.into())
}

/// Upstream prints Go's notation of the map; JSON says the same to people.
pub(super) fn no_merge_key(element: &Value, key: &str) -> PatchError {
    invalid(format!("map: {element} does not contain declared merge key: {key}"))
}

fn bad_type(expected: &str, actual: &Value) -> PatchError {
    let go = |name: &str| match name {
        "object" => "map[string]interface {}".to_owned(),
        "array" => "[]interface {}".to_owned(),
        "number" => "float64".to_owned(),
        other => other.to_owned(),
    };
    invalid(format!("expected a {}, but received a {}", go(expected), go(crate::path::type_name(actual))))
}

struct Merger<'s> {
    schema: &'s Schema,
}

/// How a field of a type merges, and the type of what is inside.
#[derive(Clone, Copy)]
struct Meta<'s> {
    /// Of the field for an object, of the elements for a list; absent where the schema knows nothing.
    ty: Option<&'s Type>,
    patch: Option<&'s PatchStrategy>,
}

impl<'s> Meta<'s> {
    fn merges(self) -> bool {
        self.patch.is_some_and(|patch| patch.merge)
    }

    fn replaces(self) -> bool {
        self.patch.is_some_and(|patch| patch.replace)
    }

    fn key(self) -> Option<&'s str> {
        self.patch?.merge_key.as_deref()
    }
}

impl<'s> Merger<'s> {
    fn field(&self, ty: Option<&'s Type>, name: &str) -> Meta<'s> {
        let Some(ty) = ty else { return Meta { ty: None, patch: None } };
        match self.schema.resolve(ty) {
            Resolved::Object { object, .. } => match object.fields.get(name) {
                Some(Field { ty, patch, .. }) => Meta { ty: Some(ty), patch: Some(patch) },
                None => Meta { ty: object.additional.as_ref(), patch: None },
            },
            _ => Meta { ty: None, patch: None },
        }
    }

    fn list_field(&self, ty: Option<&'s Type>, name: &str) -> Meta<'s> {
        let meta = self.field(ty, name);
        let items = meta.ty.and_then(|ty| match self.schema.resolve(ty) {
            Resolved::List(list) => Some(&list.items),
            _ => None,
        });
        Meta { ty: items, ..meta }
    }

    fn map(&self, mut live: Object, mut patch: Object, ty: Option<&'s Type>) -> Result<Object, PatchError> {
        if let Some(directive) = patch.shift_remove(DIRECTIVE) {
            return match directive.as_str() {
                Some("replace") => Ok(patch),
                Some("delete") => Ok(Object::new()),
                _ => {
                    let directive = directive.as_str().map_or_else(|| directive.to_string(), str::to_owned);
                    Err(invalid(format!("unknown patch type: {directive} in map: {}", Value::Object(patch))))
                }
            };
        }
        retain_keys(&mut live, &mut patch)?;
        self.ordered_lists(&mut live, &mut patch, ty)?;
        for (name, change) in patch {
            let (name, is_deletion) = match name.strip_prefix(DELETE_PREFIX) {
                None => (name, false),
                Some(list) => {
                    let list =
                        list.strip_prefix('/').ok_or_else(|| invalid("invalid patch format of primitive list"))?;
                    (list.to_owned(), true)
                }
            };
            self.member(&mut live, name, change, is_deletion, ty)?;
        }
        Ok(live)
    }

    fn member(
        &self,
        live: &mut Object,
        name: String,
        change: Value,
        is_deletion: bool,
        ty: Option<&'s Type>,
    ) -> Result<(), PatchError> {
        if change.is_null() {
            live.shift_remove(&name);
            return Ok(());
        }
        let merged = match (live.get_mut(&name).map(Value::take), change) {
            (Some(Value::Object(before)), Value::Object(change)) => {
                let meta = self.field(ty, &name);
                Some(Value::Object(if meta.replaces() { change } else { self.map(before, change, meta.ty)? }))
            }
            (Some(Value::Array(before)), Value::Array(change)) => {
                let meta = self.list_field(ty, &name);
                let merges = meta.merges() || is_deletion;
                Some(Value::Array(if merges { self.list(before, change, meta, is_deletion)? } else { change }))
            }
            // There is nothing to delete from, or what is there is no list.
            (before, _) if is_deletion => before,
            (Some(before), change) if same_type(&before, &change) => without_directives(change),
            (_, change) => without_directives(without_nulls(change)),
        };
        match merged {
            Some(merged) => {
                live.insert(name, merged);
            }
            None => {
                live.shift_remove(&name);
            }
        }
        Ok(())
    }

    /// Merges every list that has an order directive, and the directive with it.
    fn ordered_lists(&self, live: &mut Object, patch: &mut Object, ty: Option<&'s Type>) -> Result<(), PatchError> {
        let directives: Vec<String> = patch.keys().filter(|name| name.starts_with(ORDER_PREFIX)).cloned().collect();
        for directive in directives {
            let order = match patch.shift_remove(&directive) {
                Some(Value::Array(order)) => order,
                other => return Err(bad_type("array", &other.unwrap_or_default())),
            };
            let name = directive[ORDER_PREFIX.len()..]
                .strip_prefix('/')
                .ok_or_else(|| invalid("invalid patch format of setElementOrder list"))?;
            let before = taken_list(live.get(name))?;
            let change = taken_list(patch.get(name))?;
            let meta = self.list_field(ty, name);
            check_order(change.as_deref().unwrap_or_default(), &order, meta.key())?;
            let original = before.clone().unwrap_or_default();
            let merged = match (before, change.clone()) {
                (None, None) => continue,
                (Some(before), None) => before,
                (None, Some(change)) => change.into_iter().filter_map(without_directives).collect(),
                (Some(before), Some(change)) if meta.merges() => self.list(before, change, meta, false)?,
                (Some(_), Some(change)) => change,
            };
            check_elements(original.iter().chain(change.iter().flatten()))?;
            let ordered = normalized(merged, &order, &original, meta.key())?;
            live.insert(name.to_owned(), Value::Array(ordered));
            patch.shift_remove(name);
        }
        Ok(())
    }

    fn list(
        &self,
        before: Vec<Value>,
        change: Vec<Value>,
        meta: Meta<'s>,
        is_deletion: bool,
    ) -> Result<Vec<Value>, PatchError> {
        if before.is_empty() && change.is_empty() {
            return Ok(before);
        }
        if !check_elements(before.iter().chain(&change))? {
            if is_deletion {
                return Ok(before.into_iter().filter(|item| !change.contains(item)).collect());
            }
            let merged = deduplicated(before.iter().chain(&change));
            return normalized(merged, &change, &before, None);
        }
        let Some(key) = meta.key() else {
            let name = match meta.ty {
                Some(Type::Named { id, .. }) => &*self.schema.get(*id).name,
                _ => "",
            };
            return Err(invalid(format!("cannot merge lists without merge key for {name}")));
        };
        let (before, change) = special_elements(before, change, key)?;
        let merged = self.elements(before.clone(), &change, key, meta.ty)?;
        normalized(merged, &change, &before, Some(key))
    }

    fn elements(
        &self,
        mut live: Vec<Value>,
        change: &[Value],
        key: &str,
        ty: Option<&'s Type>,
    ) -> Result<Vec<Value>, PatchError> {
        for element in change {
            let identity = element.get(key).ok_or_else(|| no_merge_key(element, key))?;
            match live.iter_mut().find(|item| item.get(key) == Some(identity)) {
                Some(slot) => {
                    if let (Value::Object(before), Value::Object(element)) = (slot.take(), element) {
                        *slot = Value::Object(self.map(before, element.clone(), ty)?);
                    }
                }
                None => live.push(element.clone()),
            }
        }
        Ok(live)
    }
}

fn taken_list(value: Option<&Value>) -> Result<Option<Vec<Value>>, PatchError> {
    match value {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items.clone())),
        Some(other) => Err(bad_type("array", other)),
    }
}

fn same_type(left: &Value, right: &Value) -> bool {
    std::mem::discriminant(left) == std::mem::discriminant(right)
}

/// Are the elements objects (true) or scalars (false)? A mixture or a list of lists is refused.
fn check_elements<'v>(elements: impl Iterator<Item = &'v Value>) -> Result<bool, PatchError> {
    let mut first: Option<&Value> = None;
    for element in elements {
        match first {
            None if element.is_array() => return Err(invalid("lists of lists are not supported")),
            None => first = Some(element),
            Some(first) if same_type(first, element) => {}
            Some(first) => {
                return Err(invalid(format!(
                    "list element types are not identical: {}",
                    Value::Array(vec![first.clone(), element.clone()])
                )));
            }
        }
    }
    first.map(Value::is_object).ok_or_else(|| invalid("no elements in any of the given slices"))
}

/// Takes the directive elements out of a list patch: `delete` removes elements, `replace` all of them.
fn special_elements(
    mut before: Vec<Value>,
    change: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let mut plain = Vec::new();
    let mut replaced = false;
    for element in change {
        match element.get(DIRECTIVE) {
            None => plain.push(element),
            Some(Value::String(directive)) if directive == "delete" => {
                let identity = element.get(key).ok_or_else(|| no_merge_key(&element, key))?;
                before.retain(|item| item.get(key) != Some(identity));
            }
            Some(Value::String(directive)) if directive == "replace" => replaced = true,
            Some(Value::String(directive)) if directive == "merge" => {
                return Err(invalid("merging lists cannot yet be specified in the patch"));
            }
            Some(other) => {
                let directive = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
                return Err(invalid(format!("unknown patch type: {directive} in map: {element}")));
            }
        }
    }
    Ok(if replaced { (plain, Vec::new()) } else { (before, plain) })
}

/// `$retainKeys`: drops what the list does not name, and refuses a patch that sets more than it names.
fn retain_keys(live: &mut Object, patch: &mut Object) -> Result<(), PatchError> {
    let Some(retained) = patch.shift_remove(RETAIN_KEYS) else { return Ok(()) };
    let bad = || invalid("invalid patch format of retainKeys");
    let retained = retained.as_array().cloned().ok_or_else(bad)?;
    let kept = |name: &str| retained.iter().any(|key| key.as_str() == Some(name));
    let directive = |name: &str| name.starts_with(DELETE_PREFIX) || name.starts_with(ORDER_PREFIX);
    if patch.iter().any(|(name, value)| !value.is_null() && !directive(name) && !kept(name)) {
        return Err(bad());
    }
    live.retain(|name, _| kept(name));
    Ok(())
}

/// The patch's elements must come in the order that the directive gives, and be named by it.
fn check_order(change: &[Value], order: &[Value], key: Option<&str>) -> Result<(), PatchError> {
    if change.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut rest = order.iter();
    for element in change {
        if element.get(DIRECTIVE).is_some() {
            continue;
        }
        loop {
            let Some(place) = rest.next() else {
                return Err(invalid(format!(
                    "The order in patch list:\n{}\n doesn't match {ORDER_PREFIX} list:\n{}\n",
                    Value::Array(change.to_vec()),
                    Value::Array(order.to_vec())
                )));
            };
            if same_element(element, place, key)? {
                break;
            }
        }
    }
    Ok(())
}

fn same_element(left: &Value, right: &Value, key: Option<&str>) -> Result<bool, PatchError> {
    let Some(key) = key else { return Ok(left == right) };
    for side in [left, right] {
        if !side.is_object() {
            return Err(bad_type("object", side));
        }
    }
    let left = left.get(key).ok_or_else(|| no_merge_key(left, key))?;
    let right = right.get(key).ok_or_else(|| no_merge_key(right, key))?;
    Ok(left == right)
}

/// The value without directives, or nothing when it is one. What a patch adds where nothing was is kept as it is,
/// `$retainKeys` and list directives included, as upstream does.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => None,
        Value::Object(map) => Some(Value::Object(
            map.into_iter().filter_map(|(name, value)| Some((name, without_directives(value)?))).collect(),
        )),
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        other => Some(other),
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name, without_nulls(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

fn deduplicated<'v>(items: impl Iterator<Item = &'v Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for item in items {
        if !kept.contains(item) {
            kept.push(item.clone());
        }
    }
    kept
}
