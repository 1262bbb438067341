//! Changes one value in a YAML text and leaves everything else, comments included, as it is.

use std::ops::Range;

use granit_parser::{Event, Parser, Span, StructureStyle};
use serde_json::Value;

use crate::error::{CliError, Result};

/// A value with the places where it is written.
#[derive(Clone, Debug)]
enum Node {
    Map { style: StructureStyle, start: usize, column: usize, entries: Vec<(String, Range<usize>, Node)> },
    List(Vec<Node>),
    Scalar { at: Range<usize>, text: String },
    Alias,
}

/// The documents of a YAML text.
pub struct Documents<'a> {
    text: &'a str,
    roots: Vec<Node>,
}

impl<'a> Documents<'a> {
    /// # Errors
    /// With the line, when the text is not YAML.
    pub fn read(text: &'a str) -> Result<Documents<'a>> {
        let mut events = Vec::new();
        for next in Parser::new_from_str(text) {
            let (event, span) = next.map_err(|error| CliError::bad_input(error.to_string()))?;
            events.push((event, span));
        }
        let mut rest = events.as_slice();
        let mut roots = Vec::new();
        while let Some(((event, _), after)) = rest.split_first() {
            rest = after;
            if matches!(event, Event::DocumentStart(..)) {
                roots.extend(node(&mut rest));
            }
        }
        Ok(Documents { text, roots })
    }

    /// The first document whose scalars at these paths have these texts.
    pub fn find(&self, wanted: &[(&[&str], &str)]) -> Option<usize> {
        self.roots.iter().position(|root| wanted.iter().all(|(keys, text)| root.text(keys) == Some(*text)))
    }

    /// The whole text with the value at the keys set; keys that are missing are added to the deepest map that is there.
    ///
    /// # Errors
    /// When an alias or a scalar stands where a map would have to be.
    pub fn set(&self, document: usize, keys: &[String], value: &Value) -> Result<String> {
        let root = self.roots.get(document).ok_or_else(|| CliError::failed("the document is not there"))?;
        let (at, text) = self.change(root, keys, value).ok_or_else(|| {
            CliError::failed(format!("`{}` cannot be set in the file: edit it by hand", keys.join(".")))
        })?;
        let mut changed = self.text.to_owned();
        changed.replace_range(at, &text);
        Ok(changed)
    }

    fn change(&self, node: &Node, keys: &[String], value: &Value) -> Option<(Range<usize>, String)> {
        let Some((key, rest)) = keys.split_first() else {
            let Node::Scalar { at, .. } = node else { return None };
            return Some((at.clone(), flow(value)));
        };
        match node {
            Node::Map { entries, .. } => match entries.iter().find(|(name, ..)| name == key) {
                Some((_, _, inner)) => self.change(inner, rest, value),
                None => self.insert(node, key, rest, value),
            },
            Node::List(items) => self.change(items.get(key.parse::<usize>().ok()?)?, rest, value),
            Node::Scalar { .. } | Node::Alias => None,
        }
    }

    /// A new entry: first in a flow map, a line of its own above the first key of a block map.
    fn insert(&self, map: &Node, key: &str, rest: &[String], value: &Value) -> Option<(Range<usize>, String)> {
        let Node::Map { style, start, column, entries } = map else { return None };
        let value = rest.iter().rev().fold(flow(value), |inner, key| format!("{{{key}: {inner}}}"));
        if *style == StructureStyle::Flow {
            let at = start + self.text.get(*start..)?.find('{')? + 1;
            let separator = if entries.is_empty() { "" } else { ", " };
            return Some((at..at, format!("{key}: {value}{separator}")));
        }
        let first = entries.first()?.1.start;
        Some((first..first, format!("{key}: {value}\n{}", " ".repeat(*column))))
    }
}

impl Node {
    fn text(&self, keys: &[&str]) -> Option<&str> {
        match (self, keys.split_first()) {
            (Node::Scalar { text, .. }, None) => Some(text),
            (Node::Map { entries, .. }, Some((key, rest))) => {
                entries.iter().find(|(name, ..)| name == key).and_then(|(_, _, inner)| inner.text(rest))
            }
            _ => None,
        }
    }
}

type Events<'a, 'b> = &'a [(Event<'b>, Span)];

/// The next node; `None` at the end of a collection, a document or the stream.
fn node(events: &mut Events<'_, '_>) -> Option<Node> {
    loop {
        let ((event, span), rest) = events.split_first()?;
        *events = rest;
        match event {
            Event::Scalar(text, ..) => {
                return Some(Node::Scalar { at: span.byte_range()?, text: text.to_string() });
            }
            Event::Alias(..) => return Some(Node::Alias),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                while let Some(item) = node(events) {
                    items.push(item);
                }
                return Some(Node::List(items));
            }
            Event::MappingStart(style, ..) => return map(*style, span, events),
            Event::SequenceEnd | Event::MappingEnd | Event::DocumentEnd | Event::StreamEnd => return None,
            _ => {}
        }
    }
}

fn map(style: StructureStyle, span: &Span, events: &mut Events<'_, '_>) -> Option<Node> {
    let start = span.start.byte_offset()?;
    let mut entries = Vec::new();
    let mut column = span.start.col();
    while let Some(position) = next_position(events) {
        let Some(key) = node(events) else { break };
        if entries.is_empty() {
            column = position;
        }
        let value = node(events)?;
        if let Node::Scalar { at, text } = key {
            entries.push((text, at, value));
        }
    }
    Some(Node::Map { style, start, column, entries })
}

fn next_position(events: Events<'_, '_>) -> Option<usize> {
    events.iter().find(|(event, _)| !matches!(event, Event::Comment(..))).map(|(_, span)| span.start.col())
}

/// As YAML in flow style, which JSON is; texts without anything special stay plain.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_plain(text: &str) -> bool {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let keyword = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(harmless)
        && text.parse::<f64>().is_err()
        && !keyword.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str = "\
# above
target: local
config:
  pools: # sizes
    backend: {vmSize: Standard_B2s, min: 1, max: 5}
  backend:
    replicas:
      min: 2 # at least
      targets: {cpu: 70}
";

    fn check(path: &str, value: Value, old: &str, new: &str) {
        let keys: Vec<String> = path.split('.').map(str::to_owned).collect();
        let changed = Documents::read(FILE).unwrap().set(0, &keys, &value).unwrap();
        assert_eq!(changed, FILE.replacen(old, new, 1), "{path}");
        assert_ne!(changed, FILE);
    }

    #[test]
    fn only_the_value_changes() {
        check("config.pools.backend.max", json!(4), "max: 5", "max: 4");
        check("config.pools.backend.vmSize", json!("Standard_B2als_v2"), "Standard_B2s", "Standard_B2als_v2");
        check("config.backend.replicas.min", json!(3), "min: 2 #", "min: 3 #");
        check("config.backend.replicas.targets.cpu", json!(55), "cpu: 70", "cpu: 55");
        check("target", json!("250m"), "target: local", "target: 250m");
    }

    #[test]
    fn what_is_missing_is_added_where_it_belongs() {
        check("config.backend.replicas.targets.memory", json!(80), "{cpu", "{memory: 80, cpu");
        check("config.backend.replicas.max", json!(9), "      min: 2", "      max: 9\n      min: 2");
        check("config.backend.replicas.a.b", json!(60), "      min: 2", "      a: {b: 60}\n      min: 2");
    }

    #[test]
    fn texts_that_would_be_read_as_something_else_are_quoted() {
        check("target", json!("1e3"), "target: local", "target: \"1e3\"");
        check("target", json!("no"), "target: local", "target: \"no\"");
        check("target", json!("a: b"), "target: local", "target: \"a: b\"");
    }

    #[test]
    fn a_document_is_found_by_its_scalars_and_lists_are_entered() {
        let text = "kind: A\nmetadata: {name: x}\n---\nkind: B\nmetadata: {name: x}\nspec:\n  list:\n    - name: c\n      cpu: 1\n";
        let documents = Documents::read(text).unwrap();
        let at = documents.find(&[(&["kind"], "B"), (&["metadata", "name"], "x")]).unwrap();
        let keys = ["spec", "list", "0", "cpu"].map(str::to_owned);
        let changed = documents.set(at, &keys, &json!("250m")).unwrap();
        assert_eq!(changed, text.replace("cpu: 1", "cpu: 250m"));
        assert!(documents.find(&[(&["kind"], "C")]).is_none());
        assert!(documents.set(at, &["spec".to_owned(), "list".to_owned(), "7".to_owned()], &json!(1)).is_err());
    }
}
