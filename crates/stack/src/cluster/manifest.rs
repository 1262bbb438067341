//! Manifests: documents of YAML files with a known kind and a name.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::kinds::{Kind, kind};
use crate::config;

/// What identifies an object, whatever its version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    pub group: String,
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    pub value: Value,
    pub kind: &'static Kind,
    /// The file it was read from, for errors; empty for generated objects.
    pub file: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{0}")]
    Syntax(#[from] config::ConfigError),
    #[error("{}: document {document}: {problem}", file.display())]
    Document { file: PathBuf, document: usize, problem: String },
    #[error("{}: {second} is declared a second time; it is also in {}", file.display(), first.display())]
    Duplicate { file: PathBuf, first: PathBuf, second: Box<ObjectKey> },
}

impl Manifest {
    /// A generated object.
    ///
    /// # Errors
    /// When it has no known kind or no name.
    pub fn generated(value: Value) -> Result<Manifest, ManifestError> {
        Self::new(value, Path::new("(generated)"), 1)
    }

    fn new(value: Value, file: &Path, document: usize) -> Result<Manifest, ManifestError> {
        let fail = |problem: String| ManifestError::Document { file: file.to_owned(), document, problem };
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        let api_version = text("/apiVersion").ok_or_else(|| fail("`apiVersion` is missing".into()))?;
        let kind_name = text("/kind").ok_or_else(|| fail("`kind` is missing".into()))?;
        let row = kind(api_version, kind_name)
            .ok_or_else(|| fail(format!("`{kind_name}` of `{api_version}` is not a kind that marea applies")))?;
        let name = text("/metadata/name").ok_or_else(|| fail(format!("{kind_name} without `metadata.name`")))?;
        if row.namespaced && text("/metadata/namespace").is_none() {
            return Err(fail(format!("{kind_name} `{name}` without `metadata.namespace`")));
        }
        Ok(Manifest { value, kind: row, file: file.to_owned() })
    }

    pub fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }

    pub fn namespace(&self) -> Option<&str> {
        if self.kind.namespaced { self.value["metadata"]["namespace"].as_str() } else { None }
    }

    pub fn key(&self) -> ObjectKey {
        ObjectKey {
            group: self.kind.group.to_owned(),
            kind: self.kind.kind.to_owned(),
            namespace: self.namespace().map(str::to_owned),
            name: self.name().to_owned(),
        }
    }

    pub fn is(&self, kind: &str, namespace: &str, name: &str) -> bool {
        self.kind.kind == kind && self.namespace() == Some(namespace) && self.name() == name
    }

    /// Sets a label or annotation (`section`: `labels`, `annotations`).
    pub fn set_metadata(&mut self, section: &str, name: &str, text: &str) {
        self.value["metadata"][section][name] = Value::String(text.to_owned());
    }
}

/// Every document of every `.yaml` file below a folder, in the order of their paths.
///
/// # Errors
/// When a file cannot be read or parsed, a document is not a known object, or an object is declared twice.
pub fn read_folder(folder: &Path) -> Result<Vec<Manifest>, ManifestError> {
    let mut files = Vec::new();
    collect_files(folder, &mut files)?;
    files.sort();
    let mut manifests: Vec<Manifest> = Vec::new();
    for file in files {
        let text =
            std::fs::read_to_string(&file).map_err(|source| ManifestError::Read { path: file.clone(), source })?;
        for manifest in read_text(&file, &text)? {
            if let Some(first) = manifests.iter().find(|other| other.key() == manifest.key()) {
                return Err(ManifestError::Duplicate {
                    file,
                    first: first.file.clone(),
                    second: Box::new(manifest.key()),
                });
            }
            manifests.push(manifest);
        }
    }
    Ok(manifests)
}

fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), ManifestError> {
    let failed = |source| ManifestError::Read { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            collect_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    Ok(())
}

/// The documents of one file.
///
/// # Errors
/// When the text is not YAML or a document is not a known object.
pub fn read_text(file: &Path, text: &str) -> Result<Vec<Manifest>, ManifestError> {
    let documents: Vec<Value> = config::parse_documents(file, text)?;
    documents
        .into_iter()
        .enumerate()
        .filter(|(_, document)| !document.is_null())
        .map(|(index, document)| Manifest::new(document, file, index + 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let error = read_text(Path::new("k8s/x.yaml"), text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_bad_document_is_named() {
        check(
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n",
            "k8s/x.yaml: document 1: Service `a` without `metadata.namespace`",
        );
        check(
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\nkind: Pod\n",
            "document 2: `apiVersion` is missing",
        );
        check("apiVersion: v2\nkind: Pod\nmetadata: {name: a}\n", "`Pod` of `v2` is not a kind that marea applies");
        check("apiVersion: v1\n  kind: [\n", "k8s/x.yaml:");
    }

    #[test]
    fn documents_are_read_in_order() {
        let manifests = read_text(Path::new("x"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: a}\n").unwrap();
        assert_eq!(manifests.iter().map(|m| m.key().to_string()).collect::<Vec<_>>(), ["Namespace a", "ConfigMap a/b"]);
    }
}
