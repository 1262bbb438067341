//! The repository's own platform, as `marea up` would make it.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use lint::{Document, Lines, Ruled, Sources, StackFile};
use stack::cluster::Manifest;

use super::Subject;
use crate::args::StackName;
use crate::error::Result;
use crate::planned::{self, Override, Planned};
use crate::project::Project;

pub(super) fn read(project: &Project, environment: &str, changes: &[String]) -> Result<Subject> {
    let changes = changes.iter().map(|text| Override::parse(text)).collect::<Result<Vec<_>>>()?;
    let planned = planned::plan(project, environment, &changes)?;
    let sources = sources(project, environment, &planned);
    Ok(Subject { platform: planned.platform, sources })
}

/// What deploy's configuration puts into the manifests of an autoscaled workload: kind, field, and the setting that rules it.
const RULED: [(&str, &str, &str); 6] = [
    ("HorizontalPodAutoscaler", "/spec/minReplicas", "replicas/min"),
    ("HorizontalPodAutoscaler", "/spec/maxReplicas", "replicas/max"),
    ("HorizontalPodAutoscaler", "/spec/metrics", "replicas/targets"),
    ("HorizontalPodAutoscaler", "/spec/behavior", "replicas/behavior"),
    ("Deployment", "/spec/template/spec/containers/0/image", "image"),
    ("Deployment", "/spec/template/spec/containers/0/ports/0/containerPort", "port"),
];

fn sources(project: &Project, environment: &str, planned: &Planned) -> Sources {
    let mut reader = Reader { root: &project.root, sources: Sources::default(), files: BTreeMap::new() };
    let [base, db, deploy] = StackName::ALL.map(|stack| reader.stack(&project.file(stack, environment)));
    reader.sources.base = Some(StackFile::Configuration(base));
    reader.sources.database = Some(StackFile::Configuration(db));
    for (object, manifest) in planned.manifests.iter().enumerate() {
        let document = reader.manifest(manifest);
        reader.sources.objects.push(document);
        if manifest.namespace() != Some("platform") || !["backend", "frontend"].contains(&manifest.name()) {
            continue;
        }
        for (kind, pointer, setting) in RULED {
            if manifest.kind.kind == kind {
                let by = format!("/config/{}/{setting}", manifest.name());
                reader.sources.ruled.push(Ruled { object, pointer: pointer.to_owned(), document: deploy, by });
            }
        }
    }
    reader.sources
}

struct Reader<'a> {
    root: &'a Path,
    sources: Sources,
    /// The documents of files that are read already, by index.
    files: BTreeMap<PathBuf, Vec<usize>>,
}

impl Reader<'_> {
    fn documents(&mut self, file: &Path) -> Vec<usize> {
        if let Some(documents) = self.files.get(file) {
            return documents.clone();
        }
        // Read a moment ago for its values; should it be gone now, findings have no lines.
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let name = tidy(file, self.root);
        let first = self.sources.documents.len();
        let lines = Lines::of_documents(&text).into_iter();
        self.sources.documents.extend(lines.map(|lines| Document { file: name.clone(), lines }));
        if self.sources.documents.len() == first {
            self.sources.documents.push(Document { file: name, lines: Lines::default() });
        }
        let documents: Vec<usize> = (first..self.sources.documents.len()).collect();
        self.files.insert(file.to_owned(), documents.clone());
        documents
    }

    fn stack(&mut self, file: &Path) -> usize {
        self.documents(file)[0]
    }

    /// `None` for what a stack generates.
    fn manifest(&mut self, manifest: &Manifest) -> Option<usize> {
        if !manifest.file.is_absolute() && !manifest.file.exists() {
            return None;
        }
        let documents = self.documents(&manifest.file);
        let is = |index: &&usize| {
            let lines = &self.sources.documents[**index].lines;
            lines.is(manifest.kind.kind, manifest.value["metadata"]["namespace"].as_str(), manifest.name())
        };
        documents.iter().find(is).or(documents.first()).copied()
    }
}

/// Relative to the repository, without detours through a folder and back.
fn tidy(file: &Path, root: &Path) -> String {
    let mut parts: Vec<Component<'_>> = Vec::new();
    for component in file.strip_prefix(root).unwrap_or(file).components() {
        match (component, parts.last()) {
            (Component::ParentDir, Some(Component::Normal(_))) => {
                parts.pop();
            }
            _ => parts.push(component),
        }
    }
    parts.iter().collect::<PathBuf>().display().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn repository() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    fn copy_folder(from: &Path, to: &Path, wanted: &dyn Fn(&Path) -> bool) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap().path();
            let target = to.join(entry.file_name().unwrap());
            if entry.is_dir() && entry.file_name().unwrap() != "tests" && entry.file_name().unwrap() != "src" {
                copy_folder(&entry, &target, wanted);
            } else if entry.is_file() && wanted(&entry) {
                fs::copy(&entry, &target).unwrap();
            }
        }
    }

    /// Stack files and manifests; nothing else is read.
    fn copy() -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        let yaml = |path: &Path| path.extension().is_some_and(|extension| extension == "yaml");
        for folder in StackName::ALL.map(StackName::folder).into_iter().chain(["k8s"]) {
            copy_folder(&repository().join(folder), &copy.path().join(folder), &yaml);
        }
        copy
    }

    /// `rule at file:line`.
    fn findings(root: &Path, environment: &str) -> Vec<String> {
        let project = Project { root: root.to_owned(), here: None };
        let subject = read(&project, environment, &[]).unwrap();
        let findings = lint::check(&subject.platform, &subject.sources);
        findings
            .iter()
            .map(|finding| {
                let place = &finding.place;
                assert!(place.line.is_some(), "{finding}");
                format!("{} {} {}", finding.rule, finding.subject, place.file.as_deref().unwrap_or_default())
            })
            .collect()
    }

    /// What the specification itself asks for and Azure documents otherwise; `docs/status.md` says so too.
    fn faults_of_the_specification(environment: &str) -> Vec<String> {
        let file = format!("infrastructure-k8s-base/stack.{environment}.yaml");
        [
            "pool-credits pool backend",
            "system-pool-size pool systempool",
            "system-pool-single-node pool systempool",
            "vm-size-retires pool systempool",
            "vm-size-retires pool backend",
            "vm-size-retires pool frontend",
        ]
        .map(|finding| format!("{finding} {file}"))
        .to_vec()
    }

    #[test]
    fn the_repositorys_own_platform_has_the_specifications_faults_and_no_other() {
        for environment in ["local", "production"] {
            assert_eq!(findings(&repository(), environment), faults_of_the_specification(environment));
        }
    }

    /// `scripts/acceptance decide`, line 6, puts the same faults into copies for the program.
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Fault {
        file: String,
        /// Text of the file, and what takes its place.
        find: String,
        replace: String,
        rule: String,
        subject: String,
        /// Where it is found, when that is not the file itself.
        found_in: Option<String>,
    }

    #[test]
    fn each_fault_in_a_copy_of_the_platform_is_found_and_nothing_else() {
        let faults: Vec<Fault> = serde_json::from_str(include_str!("faults.json")).unwrap();
        let mut problems = Vec::new();
        for fault in &faults {
            let copy = copy();
            let path = copy.path().join(&fault.file);
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(&fault.find), "{}: `{}` is not there", fault.file, fault.find);
            fs::write(&path, text.replacen(&fault.find, &fault.replace, 1)).unwrap();
            let mut found = findings(copy.path(), "production");
            for known in faults_of_the_specification("production") {
                found.retain(|finding| *finding != known);
            }
            let expected =
                format!("{} {} {}", fault.rule, fault.subject, fault.found_in.as_ref().unwrap_or(&fault.file));
            if found != [expected.clone()] {
                problems.push(format!("{expected}: found {found:?}"));
            }
        }
        assert!(problems.is_empty() && faults.len() >= 10, "{}", problems.join("\n"));
    }
}
