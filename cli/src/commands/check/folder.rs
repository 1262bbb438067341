//! Any manifests: files, folders, or standard input.

use std::io::Read;
use std::path::{Path, PathBuf};

use arm_model::Template;
use lint::{Document, Lines, Sources, StackFile};
use platform::Platform;
use serde_json::Value;
use stack::config;

use super::Subject;
use crate::error::{CliError, Result};

/// Deeper folders are a loop of links.
const MAX_DEPTH: usize = 32;

pub(super) fn read(paths: &[PathBuf]) -> Result<Subject> {
    let mut input = Input::default();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| cannot_read(path, &error))?;
            input.add(Path::new("(standard input)"), &text)?;
            continue;
        }
        let mut files = Vec::new();
        collect(path, 0, &mut files)?;
        files.sort();
        for file in files {
            let text = std::fs::read_to_string(&file).map_err(|error| cannot_read(&file, &error))?;
            input.add(&file, &text)?;
        }
    }
    input.subject(paths)
}

fn cannot_read(path: &Path, error: &std::io::Error) -> CliError {
    CliError::bad_input(format!("{} cannot be read: {error}", path.display()))
}

fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    if depth > MAX_DEPTH {
        return Err(CliError::bad_input(format!("{} is nested more than {MAX_DEPTH} folders deep", path.display())));
    }
    for entry in std::fs::read_dir(path).map_err(|error| cannot_read(path, &error))? {
        let entry = entry.map_err(|error| cannot_read(path, &error))?.path();
        let wanted = entry.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|e| extension == *e));
        if entry.is_dir() || wanted {
            collect(&entry, depth + 1, files)?;
        }
    }
    Ok(())
}

#[derive(Default)]
struct Input {
    objects: Vec<Value>,
    templates: Vec<Template>,
    sources: Sources,
}

impl Input {
    fn add(&mut self, file: &Path, text: &str) -> Result<()> {
        let documents = config::parse_documents(file, text).map_err(|error| {
            let advice = if text.contains("{{") {
                "It looks like a template: render it first, e.g. `helm template . | marea check --manifests -`."
            } else {
                "Correct the file."
            };
            CliError::bad_input(error.to_string()).advice(advice)
        })?;
        // Empty documents have no lines, and some of them are not among the documents either.
        let mut lines = Lines::of_documents(text).into_iter().filter(|lines| !lines.is_empty());
        for document in documents {
            let lines = if document.is_object() { lines.next().unwrap_or_default() } else { Lines::default() };
            if document.is_null() || document["kind"] == "Kustomization" {
                continue;
            }
            if document["$schema"]
                .as_str()
                .is_some_and(|schema| schema.to_lowercase().contains("deploymenttemplate.json"))
            {
                self.add_template(file, document)?;
                continue;
            }
            let index = self.sources.documents.len();
            self.sources.documents.push(Document { file: file.display().to_string(), lines });
            // `kubectl get -o yaml` prints a list.
            let items = match document.get("items").and_then(Value::as_array) {
                Some(items) if document["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => items.clone(),
                _ => vec![document],
            };
            for item in items {
                self.objects.push(item);
                self.sources.objects.push(Some(index));
            }
        }
        Ok(())
    }

    fn add_template(&mut self, file: &Path, document: Value) -> Result<()> {
        let template = serde_json::from_value::<Template>(document).map_err(|error| {
            CliError::bad_input(format!("{}: not a template: {error}", file.display())).advice("Correct the file.")
        })?;
        let source = StackFile::Template(file.display().to_string());
        let view = Platform::new(&[&template], &[]);
        if !view.pools.is_empty() {
            self.sources.base = Some(source.clone());
        }
        if view.database.is_some() {
            self.sources.database = Some(source);
        }
        self.templates.push(template);
        Ok(())
    }

    fn subject(self, paths: &[PathBuf]) -> Result<Subject> {
        if self.objects.is_empty() && self.templates.is_empty() {
            let paths = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
            return Err(CliError::bad_input(format!("{paths}: no manifest is there"))
                .advice("Name a folder with .yaml, .yml or .json files."));
        }
        let templates: Vec<&Template> = self.templates.iter().collect();
        let objects: Vec<&Value> = self.objects.iter().collect();
        Ok(Subject { platform: Platform::new(&templates, &objects), sources: self.sources })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let subject = read(&[folder.path().to_owned()]).unwrap();
        let findings = lint::check(&subject.platform, &subject.sources);
        let lines: Vec<String> = findings
            .iter()
            .map(|finding| {
                let file = finding.place.file.as_deref().unwrap_or_default();
                let file = file.rsplit('/').next().unwrap_or_default();
                format!("{file}:{} {}", finding.place.line.unwrap_or_default(), finding.rule)
            })
            .collect();
        assert_eq!(lines, expected);
    }

    const HPA: &str = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\nspec:\n  scaleTargetRef: {kind: Deployment, name: web}\n  minReplicas: 3\n  maxReplicas: 2\n";

    #[test]
    fn findings_have_their_file_and_line() {
        check(
            &[("hpa.yaml", &format!("---\n---\n# second\n{HPA}"))],
            &["hpa.yaml:10 hpa-bounds", "hpa.yaml:8 hpa-without-target"],
        );
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"selector": {"a": "b"}}}]});
        check(&[("list.json", &list.to_string())], &["list.json:1 service-without-pods"]);
    }

    fn check_refused(files: &[(&str, &[u8])], expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let error = read(&[folder.path().to_owned()]).err().unwrap();
        assert_eq!(error.exit, Exit::BadInput);
        assert!(error.message.contains(expected), "{}", error.message);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        check_refused(&[("a.yaml", b"kind: A\nspec: [\n")], "a.yaml:");
        check_refused(&[("a.yaml", b"kind: {{ .Values.kind }}\n")], "a.yaml:1:");
        check_refused(&[("a.yaml", b"\xff\xfe\x00")], "a.yaml cannot be read");
        check_refused(&[("a.txt", b"kind: A")], "no manifest is there");
        check_refused(
            &[("t.json", br#"{"$schema": "x/deploymentTemplate.json#", "resources": 1}"#)],
            "t.json: not a template",
        );
        assert!(read(&[PathBuf::from("/nowhere/at/all")]).err().unwrap().message.contains("/nowhere/at/all"));
    }
}
