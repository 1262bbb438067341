//! The settings that were found, as a patch of the files that hold them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use similar::TextDiff;

use super::edit::Documents;
use crate::error::{CliError, Result};
use crate::planned::{Override, Place, Sources};

/// A file before and after.
pub struct Change {
    pub file: PathBuf,
    pub before: String,
    pub after: String,
}

/// What the overrides change in which file. Nothing is written.
///
/// # Errors
/// When a file cannot be read, or holds the setting in a way that cannot be edited.
pub fn changes(sources: &Sources, overrides: &[Override]) -> Result<Vec<Change>> {
    let mut texts: BTreeMap<PathBuf, (String, String)> = BTreeMap::new();
    for change in overrides {
        let setting = sources.settings().find(&change.path)?;
        let (file, wanted, keys) = place(sources, &setting.place)?;
        if !texts.contains_key(&file) {
            let text = std::fs::read_to_string(&file)
                .map_err(|error| CliError::failed(format!("{} cannot be read: {error}", file.display())))?;
            texts.insert(file.clone(), (text.clone(), text));
        }
        let Some((_, after)) = texts.get_mut(&file) else { continue };
        let within = |error: CliError| CliError::new(error.exit, format!("{}: {}", file.display(), error.message));
        let documents = Documents::read(after).map_err(within)?;
        let wanted: Vec<(Vec<&str>, &str)> = wanted.iter().map(|(k, t)| (k.to_vec(), t.as_str())).collect();
        let wanted: Vec<(&[&str], &str)> = wanted.iter().map(|(k, t)| (k.as_slice(), *t)).collect();
        let document = documents.find(&wanted).ok_or_else(|| {
            CliError::failed(format!("{}: the object of `{}` is not there any more", file.display(), change.path))
        })?;
        *after = documents.set(document, &keys, &change.value).map_err(within)?;
    }
    Ok(texts.into_iter().map(|(file, (before, after))| Change { file, before, after }).collect())
}

type Wanted = Vec<(Vec<&'static str>, String)>;

/// The file of a setting, which scalars tell the document, and the keys within it.
fn place(sources: &Sources, place: &Place) -> Result<(PathBuf, Wanted, Vec<String>)> {
    match place {
        Place::Config { stack, keys } => {
            let keys = std::iter::once("config".to_owned()).chain(keys.iter().cloned()).collect();
            Ok((sources.files[*stack as usize].clone(), Vec::new(), keys))
        }
        Place::Manifest { object, pointer } => {
            let manifest = sources.manifests().iter().find(|manifest| manifest.key() == *object);
            let file = manifest.map(|manifest| manifest.file.clone());
            let file = file.ok_or_else(|| CliError::failed(format!("{object} is in no manifest")))?;
            let mut wanted = vec![(vec!["kind"], object.kind.clone()), (vec!["metadata", "name"], object.name.clone())];
            wanted.extend(object.namespace.clone().map(|namespace| (vec!["metadata", "namespace"], namespace)));
            Ok((file, wanted, pointer.split('/').skip(1).map(str::to_owned).collect()))
        }
    }
}

/// As `git apply` takes it from the repository's root.
pub fn unified(changes: &[Change], root: &Path) -> String {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let mut text = String::new();
    for change in changes.iter().filter(|change| change.before != change.after) {
        let file = change.file.canonicalize().unwrap_or_else(|_| change.file.clone());
        let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
        let diff = TextDiff::from_lines(&change.before, &change.after);
        text.push_str(
            &diff.unified_diff().context_radius(3).header(&format!("a/{name}"), &format!("b/{name}")).to_string(),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::json;

    use super::*;
    use crate::project::Project;

    #[test]
    fn git_applies_the_patch_and_the_plan_is_the_one_that_was_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let copy = tempfile::tempdir().unwrap();
        for folder in ["infrastructure-k8s-base", "infrastructure-k8s-db", "infrastructure-k8s-deploy", "k8s"] {
            let done = Command::new("cp").arg("-r").arg(root.join(folder)).arg(copy.path()).status().unwrap();
            assert!(done.success());
        }
        let project = Project { root: copy.path().to_owned(), here: None };
        let sources = Sources::read(&project, "production").unwrap();
        let overrides = [
            ("deploy.backend.replicas.targets.cpu", json!(55)),
            ("base.nodePools.backend.max", json!(4)),
            ("base.nodePools.frontend.vmSize", json!("Standard_B2als_v2")),
            ("deploy.frontend.replicas.behavior.scaleDown.stabilizationWindowSeconds", json!(120)),
            ("backend.requests.cpu", json!("250m")),
        ]
        .map(|(path, value)| Override { path: path.to_owned(), value });
        let wanted = sources.plan(&overrides).unwrap();
        let patch = unified(&changes(&sources, &overrides).unwrap(), copy.path());
        let file = copy.path().join("tune.patch");
        std::fs::write(&file, &patch).unwrap();
        let applied = Command::new("git").args(["apply", "tune.patch"]).current_dir(copy.path()).output().unwrap();
        assert!(applied.status.success(), "{}\n{patch}", String::from_utf8_lossy(&applied.stderr));
        let planned = Sources::read(&project, "production").unwrap().plan(&[]).unwrap();
        assert_eq!(planned.platform, wanted.platform);
    }
}
