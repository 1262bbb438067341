//! What the verbs do with the three stacks.

pub mod base;
pub mod cost;
pub mod db;
pub mod deploy;
pub mod destroy;
pub mod dora;
mod elsewhere;
pub mod history;
pub mod outputs;
pub mod preview;
pub mod programs;
pub mod record;
pub mod serving;
pub mod up;

use stack::arm::Live;

use self::deploy::Deploy;
use crate::error::{CliError, Result};
use crate::project::Project;

/// What the files declare, read and checked before any cloud is asked or started.
pub struct Declared {
    pub base: infrastructure_k8s_base::Config,
    pub db: infrastructure_k8s_db::Config,
    pub deploy: Deploy,
}

impl Declared {
    pub fn load(project: &Project, environment: &str, allow_unsupported: bool) -> Result<Declared> {
        let base = base::load(project, environment, allow_unsupported)?;
        let db = db::load(project, environment)?;
        let deploy = Deploy::load(project, environment)?;
        deploy::check_against_pools(&base, &deploy.manifests_before_db(&db)?)?;
        Ok(Declared { base, db, deploy })
    }
}

/// What is known of the ARM stacks before anything is done.
#[derive(Clone, Default)]
pub struct Known {
    pub base: Option<Live>,
    pub db: Option<Live>,
}

impl Known {
    pub fn base_outputs(&self) -> Option<infrastructure_k8s_base::Outputs> {
        self.base.as_ref().and_then(Live::outputs)
    }

    pub fn db_outputs(&self) -> Option<infrastructure_k8s_db::Outputs> {
        self.db.as_ref().and_then(Live::outputs)
    }

    pub fn need_base(&self) -> Result<infrastructure_k8s_base::Outputs> {
        self.base_outputs().ok_or_else(|| {
            CliError::failed("the stack `base` has no outputs yet")
                .advice("Run `marea up base` first, or `marea up` for all.")
        })
    }

    pub fn need_db(&self) -> Result<infrastructure_k8s_db::Outputs> {
        self.db_outputs().ok_or_else(|| {
            CliError::failed("the stack `db` has no outputs yet")
                .advice("Run `marea up db` first, or `marea up` for all.")
        })
    }
}
