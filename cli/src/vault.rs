//! Where a stack's secrets are: in its file, or, for what the local cloud made for itself, in that cloud's data directory.

use std::path::PathBuf;

use serde::Deserialize;
use stack::Target;
use stack::file::SecretsBlock;
use stack::secrets::{self, Keyring, Secret};

use crate::args::StackName;
use crate::error::{CliError, Result};
use crate::project::Project;

pub struct Vault {
    file: PathBuf,
    /// Generated secrets of a local cloud live and die with it: a clone of the repository stays clean, and two clouds
    /// of one repository do not share a password.
    beside: Option<PathBuf>,
    in_file: SecretsBlock,
    in_cloud: SecretsBlock,
    keyring: Option<Keyring>,
}

#[derive(Deserialize)]
struct OnlySecrets {
    target: Target,
    #[serde(default)]
    secrets: SecretsBlock,
}

impl Vault {
    pub fn open(project: &Project, stack: StackName, environment: &str) -> Result<Vault> {
        let file = project.file(stack, environment);
        let OnlySecrets { target, secrets } = stack::config::load(&file)?;
        let beside =
            (target == Target::Local).then(|| crate::cloud::data_dir().join(format!("secrets/{}.yaml", stack.name())));
        let in_cloud = match &beside {
            Some(path) if path.exists() => stack::config::load(path)?,
            _ => SecretsBlock::default(),
        };
        Ok(Vault { file, beside, in_file: secrets, in_cloud, keyring: None })
    }

    fn keyring(&mut self) -> Result<&Keyring> {
        if self.keyring.is_none() {
            self.keyring = Some(Keyring::open(&secrets::default_key_file())?);
        }
        self.keyring.as_ref().ok_or_else(|| CliError::failed("the secret key could not be opened"))
    }

    /// The stack's file wins over what a cloud generated.
    fn block_of(&self, name: &str) -> Option<&SecretsBlock> {
        [&self.in_file, &self.in_cloud].into_iter().find(|block| block.values.contains_key(name))
    }

    pub fn get(&mut self, name: &str) -> Result<Option<Secret>> {
        let Some(block) = self.block_of(name).cloned() else { return Ok(None) };
        Ok(self.keyring()?.get(&block, name)?)
    }

    pub fn revision(&self, name: &str) -> Option<String> {
        secrets::revision(self.block_of(name)?, name)
    }

    /// Into the stack's file.
    pub fn set(&mut self, name: &str, value: &Secret) -> Result<()> {
        let mut block = self.in_file.clone();
        self.keyring()?.set(&mut block, name, value)?;
        let text = std::fs::read_to_string(&self.file)
            .map_err(|error| CliError::failed(format!("{} cannot be read: {error}", self.file.display())))?;
        secrets::write_atomically(&self.file, &secrets::replace_block(&text, &block), 0o644)?;
        self.in_file = block;
        Ok(())
    }

    /// A new value for a generated secret, written to where the old one is.
    pub fn generate(&mut self, name: &str) -> Result<Secret> {
        let value = secrets::generate_password()?;
        let Some(path) = self.beside.clone().filter(|_| !self.in_file.values.contains_key(name)) else {
            self.set(name, &value)?;
            return Ok(value);
        };
        let mut block = self.in_cloud.clone();
        self.keyring()?.set(&mut block, name, &value)?;
        let text = serde_saphyr::to_string(&block)
            .map_err(|error| CliError::failed(format!("{} cannot be written: {error}", path.display())))?;
        secrets::write_atomically(&path, &text, 0o600)?;
        self.in_cloud = block;
        Ok(value)
    }

    /// Names of all secrets with the place of each.
    pub fn names(&self) -> Vec<(String, PathBuf)> {
        let in_file = self.in_file.values.keys().map(|name| (name.clone(), self.file.clone()));
        let in_cloud = self.in_cloud.values.keys().filter(|name| !self.in_file.values.contains_key(*name));
        let beside = self.beside.clone().unwrap_or_default();
        in_file.chain(in_cloud.map(|name| (name.clone(), beside.clone()))).collect()
    }

    pub fn recipients(&self) -> &[String] {
        if self.in_file.recipients.is_empty() { &self.in_cloud.recipients } else { &self.in_file.recipients }
    }
}
