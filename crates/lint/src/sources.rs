//! Where the parts of a platform are written: files, fields and lines.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser};

use crate::{At, Place};

/// Positions of one YAML (or JSON) document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// JSON pointer → 1-based line.
    lines: BTreeMap<String, u32>,
    /// JSON pointer → text of the scalars that identify an object.
    texts: BTreeMap<String, String>,
}

const IDENTITY: [&str; 3] = ["/kind", "/metadata/namespace", "/metadata/name"];

impl Lines {
    /// Of every document of a stream; what follows a syntax error has none.
    pub fn of_documents(text: &str) -> Vec<Lines> {
        let mut documents = Vec::new();
        let mut reader = Reader::default();
        for event in Parser::new_from_str(text) {
            let Ok((event, span)) = event else { break };
            match event {
                Event::DocumentStart(..) => reader = Reader::default(),
                Event::DocumentEnd => documents.push(std::mem::take(&mut reader).lines),
                event => reader.event(&event, u32::try_from(span.start.line()).unwrap_or(u32::MAX)),
            }
        }
        documents
    }

    /// A scalar or nothing at all: no field has a line.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The line of a field, or of the nearest of its parents that is written.
    pub fn of(&self, pointer: &str) -> Option<u32> {
        let mut pointer = pointer;
        loop {
            if let Some(line) = self.lines.get(pointer) {
                return Some(*line);
            }
            pointer = pointer.rsplit_once('/')?.0;
        }
    }

    /// Whether the document is the object of this kind, namespace and name.
    pub fn is(&self, kind: &str, namespace: Option<&str>, name: &str) -> bool {
        let wanted = [Some(kind), namespace, Some(name)];
        IDENTITY.iter().zip(wanted).all(|(pointer, wanted)| self.texts.get(*pointer).map(String::as_str) == wanted)
    }
}

/// A collection that is being read.
enum Frame {
    Sequence {
        next: usize,
    },
    /// `None` while a key is awaited.
    Mapping {
        key: Option<String>,
    },
}

#[derive(Default)]
struct Reader {
    frames: Vec<Frame>,
    pointer: Vec<String>,
    lines: Lines,
}

/// Deeper documents have no lines below that depth; a parser's own limit is far above it.
const MAX_DEPTH: usize = 64;

impl Reader {
    fn event(&mut self, event: &Event<'_>, line: u32) {
        match event {
            Event::Scalar(text, ..) => {
                if let Some(Frame::Mapping { key: key @ None }) = self.frames.last_mut() {
                    // The key's line is that of its field, also where the value begins on the next one.
                    *key = Some(text.to_string());
                    let pointer = self.child(text);
                    self.record(pointer, line);
                    return;
                }
                self.value(line, Some(text));
            }
            Event::Alias(_) => self.value(line, None),
            Event::SequenceStart(..) => {
                self.enter(line);
                self.frames.push(Frame::Sequence { next: 0 });
            }
            Event::MappingStart(..) => {
                self.enter(line);
                self.frames.push(Frame::Mapping { key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.frames.pop();
                if !self.frames.is_empty() {
                    self.pointer.pop();
                }
                self.advance();
            }
            _ => {}
        }
    }

    /// The name of the value that comes next.
    fn name(&self) -> Option<String> {
        match self.frames.last()? {
            Frame::Sequence { next } => Some(next.to_string()),
            // A collection as a key has no pointer; its parts get the empty name.
            Frame::Mapping { key } => Some(key.clone().unwrap_or_default()),
        }
    }

    fn enter(&mut self, line: u32) {
        if let Some(name) = self.name() {
            let pointer = self.child(&name);
            self.record(pointer, line);
            self.pointer.push(name);
        } else {
            self.record(String::new(), line);
        }
    }

    fn value(&mut self, line: u32, text: Option<&str>) {
        if let Some(name) = self.name() {
            let pointer = self.child(&name);
            if let Some(text) = text.filter(|_| IDENTITY.contains(&pointer.as_str())) {
                self.lines.texts.insert(pointer.clone(), text.to_owned());
            }
            self.record(pointer, line);
        }
        self.advance();
    }

    fn advance(&mut self) {
        match self.frames.last_mut() {
            Some(Frame::Sequence { next }) => *next += 1,
            Some(Frame::Mapping { key }) => *key = None,
            None => {}
        }
    }

    fn child(&self, name: &str) -> String {
        let parents = self.pointer.iter().map(String::as_str).chain([name]);
        parents.map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
    }

    /// The first line wins: a field is where its key is.
    fn record(&mut self, pointer: String, line: u32) {
        if self.pointer.len() < MAX_DEPTH {
            self.lines.lines.entry(pointer).or_insert(line);
        }
    }
}

/// One document of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    pub file: String,
    pub lines: Lines,
}

/// A field of an object that another document rules: its value is written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruled {
    pub object: usize,
    /// The field and everything below it.
    pub pointer: String,
    pub document: usize,
    /// The pointer in that document.
    pub by: String,
}

/// What the parts that no manifest has are written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StackFile {
    /// `stack.<env>.yaml` by the index of its document.
    Configuration(usize),
    /// An ARM template, whose lines are not looked up.
    Template(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    pub documents: Vec<Document>,
    /// By the index of an object, the index of its document.
    pub objects: Vec<Option<usize>>,
    pub base: Option<StackFile>,
    pub database: Option<StackFile>,
    pub ruled: Vec<Ruled>,
}

impl Sources {
    pub(crate) fn place(&self, at: &At) -> Place {
        match at {
            At::Object(index, pointer) => self.object_place(*index, pointer),
            At::Pool(name, field) => {
                let pointer = format!("/config/nodePools/{name}/{field}");
                self.stack_place(self.base.as_ref(), &pointer, &format!("agentPoolProfiles[{name}].{field}"))
            }
            At::Cluster(field) => {
                let pointer = format!("/config/{}", field.replace('.', "/"));
                self.stack_place(self.base.as_ref(), &pointer, field)
            }
            At::Database(field) => {
                let pointer = format!("/config/{}", field.replace('.', "/"));
                self.stack_place(self.database.as_ref(), &pointer, field)
            }
        }
    }

    fn object_place(&self, index: usize, pointer: &str) -> Place {
        let below =
            |prefix: &str| pointer == prefix || pointer.strip_prefix(prefix).is_some_and(|r| r.starts_with('/'));
        let ruled = self.ruled.iter().find(|ruled| ruled.object == index && below(&ruled.pointer));
        if let Some(ruled) = ruled {
            return self.in_document(ruled.document, &ruled.by);
        }
        match self.objects.get(index).copied().flatten() {
            Some(document) => self.in_document(document, pointer),
            None => Place { file: None, field: dotted(pointer), line: None },
        }
    }

    fn stack_place(&self, file: Option<&StackFile>, pointer: &str, field: &str) -> Place {
        match file {
            Some(StackFile::Configuration(document)) => self.in_document(*document, pointer),
            Some(StackFile::Template(file)) => Place { file: Some(file.clone()), field: field.to_owned(), line: None },
            None => Place { file: None, field: field.to_owned(), line: None },
        }
    }

    fn in_document(&self, document: usize, pointer: &str) -> Place {
        let document = self.documents.get(document);
        Place {
            file: document.map(|document| document.file.clone()),
            field: dotted(pointer),
            line: document.and_then(|document| document.lines.of(pointer)),
        }
    }
}

/// `/spec/containers/0/image` → `spec.containers[0].image`; keys with dots or slashes are quoted.
fn dotted(pointer: &str) -> String {
    let mut text = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            text.push_str(&format!("[{part}]"));
        } else if part.contains(['.', '/']) {
            text.push_str(&format!("[\"{part}\"]"));
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(&part);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a comment\nkind: Pod\nmetadata: {name: web, namespace: a}\nspec:\n  containers:\n    - name: c\n      image: x:1\n      ports: [{containerPort: 80}]\n    - &other\n      name: d\n  list:\n    - *other\n    - last\n---\n---\nkind: Second\n";

    fn check(document: usize, pointer: &str, expected: Option<u32>) {
        let documents = Lines::of_documents(TEXT);
        assert_eq!(documents[document].of(pointer), expected, "{pointer}");
    }

    #[test]
    fn fields_have_the_line_of_their_key() {
        check(0, "/kind", Some(2));
        check(0, "/metadata/name", Some(3));
        check(0, "/spec", Some(4));
        check(0, "/spec/containers/0", Some(6));
        check(0, "/spec/containers/0/image", Some(7));
        check(0, "/spec/containers/0/ports/0/containerPort", Some(8));
        check(0, "/spec/containers/1/name", Some(10));
        check(0, "/spec/list/1", Some(13));
        // What is not written is where its parent is.
        check(0, "/spec/containers/0/resources/requests/cpu", Some(6));
        check(2, "/kind", Some(16));
    }

    #[test]
    fn documents_know_their_object() {
        let documents = Lines::of_documents(TEXT);
        assert!(documents[0].is("Pod", Some("a"), "web"));
        assert!(!documents[0].is("Pod", None, "web"));
        assert_eq!(documents.len(), 3);
        // Half a document is none, and no panic.
        assert_eq!(Lines::of_documents("a: [").len(), 0);
    }

    #[test]
    fn fields_read_like_a_path() {
        for (pointer, expected) in [
            ("/spec/template/spec/containers/0/image", "spec.template.spec.containers[0].image"),
            ("/metadata/labels/app.kubernetes.io~1name", "metadata.labels[\"app.kubernetes.io/name\"]"),
            ("", ""),
        ] {
            assert_eq!(dotted(pointer), expected);
        }
    }
}
