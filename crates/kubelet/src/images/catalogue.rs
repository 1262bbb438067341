//! Reads `local/images.yaml` and finds the entry of an image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::pattern;
use super::template::{self, TemplateError};

/// What a container's own command line does to the entry's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arguments {
    /// As for an image: `command` takes the place of the entry's command, `args` follow it.
    #[default]
    Image,
    /// Both follow the entry's command.
    Append,
    /// The entry's command is all there is.
    Ignore,
}

/// A program of the host that an entry needs, and where to get it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    pub program: String,
    /// Debian's package.
    pub package: String,
}

/// One entry. Exactly one of `command`, `pause`, `layout` and `pull` is given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Entry {
    /// The image's name, with or without tag or digest; `*` stands for any text.
    pub image: String,
    #[serde(default)]
    pub command: Vec<String>,
    /// Runs nothing: the pod only takes its requests' place on the node.
    #[serde(default)]
    pub pause: bool,
    /// The folder of an OCI layout whose image is run from its own files.
    pub layout: Option<String>,
    /// The image is run from its own files, as its registry has them.
    #[serde(default)]
    pub pull: bool,
    #[serde(default)]
    pub arguments: Arguments,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    pub workdir: Option<String>,
    /// What of this machine the program needs besides `/usr`; a container sees nothing else.
    #[serde(default)]
    pub paths: Vec<String>,
    #[serde(default)]
    pub requires: Vec<Requirement>,
    /// A pod whose programs are missing is marked as left out instead of failing.
    #[serde(default)]
    pub optional: bool,
    /// As an image's STOPSIGNAL.
    pub stop_signal: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    images: Vec<Entry>,
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("cannot read the image catalogue {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the image catalogue {} is not valid: {message}", path.display())]
    Parse { path: PathBuf, message: String },
    #[error("the image catalogue {}, entry {index} (`{image}`), {field}: {problem}", path.display())]
    Entry { path: PathBuf, index: usize, image: String, field: String, problem: String },
}

/// The entries of all catalogue files, those that win first.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    entries: Vec<Entry>,
}

impl Catalogue {
    /// Reads `base`, and `overrides` where it exists, whose entries win.
    ///
    /// # Errors
    /// When a file cannot be read or an entry is not valid; the message names line or field.
    pub fn load(base: &Path, overrides: &Path) -> Result<Catalogue, CatalogueError> {
        let mut entries = if overrides.exists() { read(overrides)? } else { Vec::new() };
        entries.extend(read(base)?);
        Ok(Catalogue { entries })
    }

    /// The first entry that covers the image.
    pub fn find(&self, image: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| pattern::matches(&entry.image, image))
    }

    /// Programs that entries need and that no directory of `search_path` has: for `marea status` and `scripts/up`.
    pub fn missing(&self, search_path: &str) -> Vec<(&Entry, &Requirement)> {
        let each =
            self.entries.iter().flat_map(|entry| entry.requires.iter().map(move |requirement| (entry, requirement)));
        each.filter(|(_, requirement)| find_program(&requirement.program, search_path).is_none()).collect()
    }
}

fn read(path: &Path) -> Result<Vec<Entry>, CatalogueError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| CatalogueError::Read { path: path.to_owned(), source })?;
    let document: Document = serde_saphyr::from_str(&text)
        .map_err(|error| CatalogueError::Parse { path: path.to_owned(), message: error.to_string() })?;
    for (index, entry) in document.images.iter().enumerate() {
        entry.check().map_err(|(field, problem)| CatalogueError::Entry {
            path: path.to_owned(),
            index: index + 1,
            image: entry.image.clone(),
            field,
            problem,
        })?;
    }
    Ok(document.images)
}

impl Entry {
    fn check(&self) -> Result<(), (String, String)> {
        let fail = |field: &str, problem: String| Err((field.to_owned(), problem));
        if self.image.trim().is_empty() {
            return fail("image", "is empty".into());
        }
        let kinds = [!self.command.is_empty(), self.pause, self.layout.is_some(), self.pull];
        if kinds.iter().filter(|given| **given).count() != 1 {
            return fail("command", "give one of a command, `pause: true`, a layout and `pull: true`".into());
        }
        if self.is_image()
            && (!self.env.is_empty() || !self.paths.is_empty() || !self.requires.is_empty() || self.workdir.is_some())
        {
            return fail(
                "image",
                "an image brings its own files and variables: leave env, paths, requires and workdir out".into(),
            );
        }
        if let Some(layout) = &self.layout
            && !(layout.starts_with('/') || layout.starts_with("${"))
        {
            return fail("layout", format!("`{layout}` is not absolute; begin with / or ${{repo}}"));
        }
        if let Some(signal) = &self.stop_signal
            && crate::signals::parse(signal).is_none()
        {
            return fail("stopSignal", format!("`{signal}` is not a signal; write SIGTERM, SIGQUIT or SIGINT"));
        }
        let templated = self.command.iter().map(|part| ("command".to_owned(), part));
        let templated = templated.chain(self.env.iter().map(|(name, value)| (format!("env.{name}"), value)));
        let templated = templated.chain(self.workdir.iter().map(|text| ("workdir".to_owned(), text)));
        let templated = templated.chain(self.layout.iter().map(|text| ("layout".to_owned(), text)));
        let templated = templated.chain(self.paths.iter().map(|text| ("paths".to_owned(), text)));
        for (field, text) in templated {
            template::check(text).map_err(|error: TemplateError| (field, error.to_string()))?;
        }
        Ok(())
    }

    /// Whether an image is run from its own files instead of a program of this host.
    pub fn is_image(&self) -> bool {
        self.pull || self.layout.is_some()
    }

    /// What must be installed first, if anything.
    pub fn missing(&self, search_path: &str) -> Option<&Requirement> {
        self.requires.iter().find(|requirement| find_program(&requirement.program, search_path).is_none())
    }
}

/// Looks a program up as a shell does; `/usr/sbin` is searched too, where Debian keeps nginx and ordinary users' PATH does not.
pub(crate) fn find_program(program: &str, search_path: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let directories = search_path.split(':').chain(["/usr/sbin", "/sbin"]);
    directories
        .filter(|directory| !directory.is_empty())
        .map(|directory| Path::new(directory).join(program))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Catalogue, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("images.yaml");
        std::fs::write(&path, text).unwrap();
        Catalogue::load(&path, &directory.path().join("none.yaml")).map_err(|error| error.to_string())
    }

    fn check_error(text: &str, parts: &[&str]) {
        let error = load(text).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "`{error}` does not say `{part}`");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        check_error("images:\n  - image: a\n    comand: [x]\n", &["comand", "line 3"]);
        check_error("images:\n  - image: a\n", &["entry 1", "`a`", "command", "pause: true"]);
        check_error("images:\n  - {image: a, command: ['${bnn}/x']}\n", &["entry 1", "${bnn}", "${bin}"]);
        check_error("images:\n  - {image: a, command: [x], env: {A: '${repo'}}\n", &["env.A", "not closed"]);
        check_error("images:\n  - {image: a, command: [x], stopSignal: HUPP}\n", &["stopSignal", "HUPP"]);
        check_error("images: 3\n", &["line 1"]);
    }

    #[test]
    fn a_users_entry_wins() {
        let directory = tempfile::tempdir().unwrap();
        let (base, own) = (directory.path().join("base.yaml"), directory.path().join("own.yaml"));
        std::fs::write(&base, "images: [{image: a, command: [base]}, {image: b, pause: true}]").unwrap();
        std::fs::write(&own, "images: [{image: a, command: [own]}]").unwrap();
        let catalogue = Catalogue::load(&base, &own).unwrap();
        assert_eq!(catalogue.find("a:1").unwrap().command, ["own"]);
        assert!(catalogue.find("b").unwrap().pause);
        assert!(catalogue.find("c").is_none());
    }

    #[test]
    fn missing_programs_come_with_their_package() {
        let text = "images: [{image: a, command: [x], requires: [{program: sh, package: dash}, {program: no-such, package: p}]}]";
        let catalogue = load(text).unwrap();
        let missing: Vec<_> =
            catalogue.missing("/bin:/usr/bin").iter().map(|(_, requirement)| requirement.package.clone()).collect();
        assert_eq!(missing, ["p"]);
    }

    #[test]
    fn the_repositorys_own_catalogue_is_valid() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../local/images.yaml");
        let catalogue = Catalogue::load(&path, Path::new("/nonexistent")).unwrap();
        for image in
            ["marea.azurecr.io/backend:0.1.0", "docker.io/library/traefik:v3.6.2", "docker.io/grafana/grafana:12.2.0"]
        {
            assert!(catalogue.find(image).is_some(), "{image}");
        }
    }
}
