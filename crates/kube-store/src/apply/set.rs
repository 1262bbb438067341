//! Sets of field paths, as trees (upstream: structured-merge-diff `fieldpath/set.go` and `serialize.go`, v6.3.3).

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::element::PathElement;
use crate::schema::{ListKind, Object, Resolved, Schema, Type};

/// A set of paths. That a path is in it says nothing of the paths below or above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    children: BTreeMap<PathElement, Node>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    /// The path that ends here is in the set.
    member: bool,
    below: FieldSet,
}

impl Node {
    fn is_empty(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

impl FieldSet {
    /// Of paths of plain fields.
    pub fn of_fields(paths: &[&[&str]]) -> FieldSet {
        let mut set = FieldSet::default();
        for path in paths {
            let path: Vec<PathElement> = path.iter().map(|name| PathElement::field(name)).collect();
            set.insert(&path);
        }
        set
    }

    pub fn is_empty(&self) -> bool {
        self.children.values().all(Node::is_empty)
    }

    /// Adds a path. The empty path stands for the whole object, which nobody owns.
    pub fn insert(&mut self, path: &[PathElement]) {
        if let Some((first, rest)) = path.split_first() {
            let node = self.children.entry(first.clone()).or_default();
            match rest {
                [] => node.member = true,
                _ => node.below.insert(rest),
            }
        }
    }

    /// Adds a path of one step with everything below it.
    pub(super) fn graft(&mut self, step: PathElement, member: bool, below: FieldSet) {
        if member || !below.is_empty() {
            let node = self.children.entry(step).or_default();
            node.member |= member;
            node.below = node.below.union(&below);
        }
    }

    /// Is the path of this one step in the set?
    pub(super) fn has_step(&self, step: &PathElement) -> bool {
        self.children.get(step).is_some_and(|node| node.member)
    }

    pub fn has(&self, path: &[PathElement]) -> bool {
        match path.split_first() {
            None => false,
            Some((first, [])) => self.has_step(first),
            Some((first, rest)) => self.children.get(first).is_some_and(|node| node.below.has(rest)),
        }
    }

    /// The paths below a step.
    pub(super) fn below(&self, step: &PathElement) -> Option<&FieldSet> {
        self.children.get(step).map(|node| &node.below).filter(|below| !below.is_empty())
    }

    /// Every path: on each level first the paths that end there, then those that go on, as upstream lists them.
    pub fn paths(&self) -> Vec<Vec<PathElement>> {
        let mut found = Vec::new();
        self.collect(&[], &mut found);
        found
    }

    fn collect(&self, prefix: &[PathElement], found: &mut Vec<Vec<PathElement>>) {
        let path = |step: &PathElement| prefix.iter().chain([step]).cloned().collect::<Vec<_>>();
        found.extend(self.children.iter().filter(|(_, node)| node.member).map(|(step, _)| path(step)));
        for (step, node) in &self.children {
            node.below.collect(&path(step), found);
        }
    }

    pub fn union(&self, other: &FieldSet) -> FieldSet {
        let mut all = self.clone();
        for (step, node) in &other.children {
            match all.children.get_mut(step) {
                None => {
                    all.children.insert(step.clone(), node.clone());
                }
                Some(mine) => {
                    mine.member |= node.member;
                    mine.below = mine.below.union(&node.below);
                }
            }
        }
        all
    }

    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        self.filtered(|step, node| {
            other.children.get(step).map_or_else(Node::default, |theirs| Node {
                member: node.member && theirs.member,
                below: node.below.intersection(&theirs.below),
            })
        })
    }

    /// The paths that are in this set and not in the other. A path below one that the other has, stays.
    pub fn difference(&self, other: &FieldSet) -> FieldSet {
        self.filtered(|step, node| match other.children.get(step) {
            None => node.clone(),
            Some(theirs) => Node { member: node.member && !theirs.member, below: node.below.difference(&theirs.below) },
        })
    }

    /// As [`FieldSet::difference`], without what is below a path of the other set either.
    pub fn recursive_difference(&self, other: &FieldSet) -> FieldSet {
        self.filtered(|step, node| match other.children.get(step) {
            None => node.clone(),
            Some(theirs) if theirs.member => Node::default(),
            Some(theirs) => Node { member: node.member, below: node.below.recursive_difference(&theirs.below) },
        })
    }

    fn filtered(&self, keep: impl Fn(&PathElement, &Node) -> Node) -> FieldSet {
        let kept = self.children.iter().map(|(step, node)| (step.clone(), keep(step, node)));
        FieldSet { children: kept.filter(|(_, node)| !node.is_empty()).collect() }
    }

    /// The set with the declared fields on the way to its paths: what removing its paths would leave behind empty.
    pub(super) fn with_named_fields(&self, schema: &Schema, ty: Option<&Type>) -> FieldSet {
        let children = self.children.iter().map(|(step, node)| {
            let (inner, declared) = inner_type(schema, ty, step);
            let member = node.member || (declared && !node.below.is_empty());
            (step.clone(), Node { member, below: node.below.with_named_fields(schema, inner) })
        });
        FieldSet { children: children.collect() }
    }

    /// The set as the schema of today would have it, if it has another now: where a list or map has become atomic, its
    /// owner owns the whole.
    pub(super) fn reconciled(&self, schema: &Schema, ty: &Type) -> Option<FieldSet> {
        // Schemas change seldom and ownership is read on every write, so that looking comes before copying.
        self.is_outdated(schema, ty).then(|| self.with_atomic_parts_whole(schema, ty))
    }

    fn is_outdated(&self, schema: &Schema, ty: &Type) -> bool {
        self.children.iter().any(|(step, node)| match inner_type(schema, Some(ty), step).0 {
            Some(inner) if is_atomic(schema, inner) => !node.member || !node.below.is_empty(),
            Some(inner) => node.below.is_outdated(schema, inner),
            None => false,
        })
    }

    fn with_atomic_parts_whole(&self, schema: &Schema, ty: &Type) -> FieldSet {
        let node = |step: &PathElement, node: &Node| match inner_type(schema, Some(ty), step).0 {
            Some(inner) if is_atomic(schema, inner) => Node { member: true, below: FieldSet::default() },
            Some(inner) => Node { member: node.member, below: node.below.with_atomic_parts_whole(schema, inner) },
            None => node.clone(),
        };
        FieldSet { children: self.children.iter().map(|(step, old)| (step.clone(), node(step, old))).collect() }
    }

    /// Reads `fieldsV1`.
    ///
    /// # Errors
    /// When a key is no path element.
    pub fn decode(fields: &Value) -> Result<FieldSet, String> {
        let mut set = FieldSet::default();
        for (key, value) in fields.as_object().into_iter().flatten() {
            if key == "." {
                continue;
            }
            if let Some(step) = PathElement::parse(key)? {
                let below = FieldSet::decode(value)?;
                // A key with nothing below is a member; so is one that says so.
                let member = below.children.is_empty() || value.get(".").is_some();
                set.children.insert(step, Node { member, below });
            }
        }
        Ok(set)
    }

    /// Writes `fieldsV1`.
    pub fn encode(&self) -> Value {
        let mut fields = Map::new();
        for (step, node) in &self.children {
            let mut below = node.below.encode();
            if let Value::Object(map) = &mut below
                && node.member
                && !map.is_empty()
            {
                map.shift_insert(0, ".".to_owned(), Value::Object(Map::new()));
            }
            fields.insert(step.encoded(), below);
        }
        Value::Object(fields)
    }
}

fn is_atomic(schema: &Schema, ty: &Type) -> bool {
    match schema.resolve(ty) {
        Resolved::Object { atomic, .. } => atomic,
        Resolved::List(list) => list.kind == ListKind::Atomic,
        Resolved::Raw => true,
        Resolved::Scalar(_) | Resolved::Any => false,
    }
}

/// The type behind a step, and whether the step is a declared field.
fn inner_type<'s>(schema: &'s Schema, ty: Option<&'s Type>, step: &PathElement) -> (Option<&'s Type>, bool) {
    let of_field = |object: &'s Object, name: &str| match object.fields.get(name) {
        Some(field) => (Some(&field.ty), true),
        None => (object.additional.as_ref(), false),
    };
    match (ty.map(|ty| schema.resolve(ty)), step) {
        (Some(Resolved::Object { object, .. }), PathElement::Field(name)) => of_field(object, name),
        (Some(Resolved::List(list)), PathElement::Key(_) | PathElement::Value(_)) => (Some(&list.items), false),
        _ => (None, false),
    }
}

/// `.spec.template.spec.containers[name="web"].image`
pub fn path_text(path: &[PathElement]) -> String {
    path.iter().map(PathElement::to_string).collect()
}

impl fmt::Display for FieldSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<String> = self.paths().iter().map(|path| path_text(path)).collect();
        f.write_str(&paths.join("\n"))
    }
}
