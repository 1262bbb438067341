//! The repository that a command works on.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use stack::StackFile;

use crate::args::StackName;
use crate::error::{CliError, Result};

pub struct Project {
    pub root: PathBuf,
    /// The stack whose folder the command was run in.
    pub here: Option<StackName>,
}

impl Project {
    /// Looks upwards from the current folder; `MAREA_ROOT` says it outright.
    pub fn find() -> Result<Project> {
        let current = std::env::current_dir()
            .map_err(|error| CliError::failed(format!("the current folder cannot be read: {error}")))?;
        if let Some(root) = std::env::var_os("MAREA_ROOT").filter(|root| !root.is_empty()) {
            return Ok(Project { root: PathBuf::from(root), here: None });
        }
        let root = current.ancestors().find(|folder| is_root(folder)).ok_or_else(|| {
            CliError::bad_input(format!("{} is not inside a marea repository", current.display()))
                .advice("Run it in the repository (the folder with infrastructure-k8s-base), or set MAREA_ROOT.")
        })?;
        let here = StackName::ALL.into_iter().find(|stack| current.starts_with(root.join(stack.folder())));
        Ok(Project { root: root.to_owned(), here })
    }

    /// The stacks that a command is for, in order.
    pub fn selection(&self, wanted: Option<StackName>) -> Vec<StackName> {
        match wanted.or(self.here) {
            Some(stack) => vec![stack],
            None => StackName::ALL.to_vec(),
        }
    }

    pub fn file(&self, stack: StackName, environment: &str) -> PathBuf {
        stack::file::path(&self.root, stack.folder(), environment)
    }

    pub fn load<C: DeserializeOwned>(&self, stack: StackName, environment: &str) -> Result<StackFile<C>> {
        let file = self.file(stack, environment);
        if !file.exists() {
            let known = environments(&self.root.join(stack.folder())).join(", ");
            return Err(CliError::bad_input(format!("{} does not exist", file.display()))
                .advice(format!("Environments are: {known}.")));
        }
        Ok(stack::config::load(&file)?)
    }
}

fn is_root(folder: &Path) -> bool {
    StackName::ALL.iter().all(|stack| folder.join(stack.folder()).is_dir())
}

fn environments(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()
                .and_then(|name| Some(name.strip_prefix("stack.")?.strip_suffix(".yaml")?.to_owned()))
        })
        .collect();
    names.sort();
    names
}
