//! The deploy stack: manifests filled in, compared and applied.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use infrastructure_k8s_base::Base;
use infrastructure_k8s_db::Outputs as DbOutputs;
use infrastructure_k8s_deploy::{Config, Database, DeployError, Inputs, manifests};
use serde_json::Value;
use stack::Stack;
use stack::cluster::{Manifest, read_folder};
use stack::secrets::Secret;

use super::db::Password;
use super::programs::images_in;
use crate::args::StackName;
use crate::error::{CliError, Result};
use crate::project::Project;
use crate::session::Session;

pub struct Deploy {
    pub config: Config,
    source: Vec<Manifest>,
    /// Of `certificateAuthorityFile`.
    certificate_authority: Option<String>,
}

impl Deploy {
    /// Reads the configuration and the manifests.
    pub fn load(project: &Project, environment: &str) -> Result<Deploy> {
        let file = project.load::<Config>(StackName::Deploy, environment)?;
        let folder = project.root.join(StackName::Deploy.folder());
        let source = read_folder(&folder.join(&file.config.manifests))?;
        let read = |path: &PathBuf| {
            let path = folder.join(path);
            std::fs::read_to_string(&path)
                .map_err(|error| CliError::bad_input(format!("{} cannot be read: {error}", path.display())))
        };
        let certificate_authority = file.config.certificate_authority_file.as_ref().map(read).transpose()?;
        Ok(Deploy { config: file.config, source, certificate_authority })
    }

    /// The images that the manifests run, with the configuration's in their places.
    pub fn images(&self) -> BTreeSet<String> {
        let configured = [&self.config.backend.image, &self.config.frontend.image];
        let mut found: BTreeSet<String> = configured.into_iter().cloned().collect();
        for manifest in &self.source {
            if !["backend", "frontend"].iter().any(|name| manifest.is("Deployment", "platform", name)) {
                images_in(&manifest.value, &mut found);
            }
        }
        found
    }

    pub fn rollout_patience(&self) -> Duration {
        Duration::from_secs(self.config.rollout_seconds)
    }

    /// The objects to apply.
    pub fn manifests(&self, session: &Session, db: &DbOutputs, password: &Password) -> Result<Vec<Manifest>> {
        self.manifests_trusting(db, password, session.certificate_authority.as_deref())
    }

    /// As [`Deploy::manifests`] where nothing but the database's cloud is known; `of_cloud` is that cloud's own authority.
    pub fn manifests_trusting(
        &self,
        db: &DbOutputs,
        password: &Password,
        of_cloud: Option<&str>,
    ) -> Result<Vec<Manifest>> {
        let authority = self.certificate_authority.as_deref().or(of_cloud).ok_or_else(|| {
            CliError::bad_input(
                "config.certificateAuthorityFile is missing, and this cloud names no authority of its own",
            )
            .advice("Name the PEM file of the authorities that sign the database's certificate.")
        })?;
        self.fill_in(db, password, authority)
    }

    fn fill_in(&self, db: &DbOutputs, password: &Password, certificate_authority: &str) -> Result<Vec<Manifest>> {
        let inputs = Inputs {
            database: Database {
                host: db.host.clone(),
                port: db.port,
                name: db.database.clone(),
                user: db.user.clone(),
                password: password.value.clone(),
                user_connections: db.user_connections,
            },
            certificate_authority: certificate_authority.to_owned(),
        };
        Ok(manifests(&self.config, &inputs, self.source.clone())?)
    }

    /// As [`Deploy::manifests`] before there is a database: what an `up` of everything would make.
    pub fn manifests_before_db(&self, config: &infrastructure_k8s_db::Config) -> Result<Vec<Manifest>> {
        let outputs = DbOutputs {
            resource_group: config.resource_group.clone(),
            server_name: "(known after db)".to_owned(),
            host: "(known after db)".to_owned(),
            port: 5432,
            database: config.database.clone(),
            user: config.administrator.clone(),
            user_connections: config.user_connections().unwrap_or_default(),
        };
        let password = Password { value: Secret::new("(known after db)"), revision: String::new() };
        self.fill_in(&outputs, &password, "(known after db)")
    }
}

/// Rules of `marea check` without which an `up` cannot come to its end.
const REFUSED: [&str; 4] = ["hpa-bounds", "hpa-without-target", "replicas-beside-hpa", "hpa-target-without-request"];
/// The same, of manifests and pools together.
const REFUSED_WITH_POOLS: [&str; 2] = ["unknown-pool", "untolerated-taint"];

/// Pools and manifests are declared in different stacks; together they must make sense before anything is changed.
pub fn check_against_pools(base: &infrastructure_k8s_base::Config, applied: &[Manifest]) -> Result<()> {
    let template = Base::template(base, &infrastructure_k8s_base::Inputs::default());
    check(&[&template], applied, &[&REFUSED[..], &REFUSED_WITH_POOLS[..]].concat())
}

/// As [`check_against_pools`] for a cluster whose nodes are none of our making.
pub fn check_alone(applied: &[Manifest]) -> Result<()> {
    check(&[], applied, &REFUSED)
}

fn check(templates: &[&arm_model::Template], applied: &[Manifest], rules: &[&str]) -> Result<()> {
    let values: Vec<&Value> = applied.iter().map(|manifest| &manifest.value).collect();
    let platform = platform::Platform::new(templates, &values);
    let findings = lint::check_only(rules, &platform, &lint::Sources::default());
    let refused: Vec<String> =
        findings.iter().map(|finding| format!("{} {}", finding.subject, finding.message)).collect();
    if refused.is_empty() { Ok(()) } else { Err(DeployError::Platform(refused.join("\n  ")).into()) }
}
