//! The base stack as an ARM deployment.

use std::collections::BTreeMap;

use infrastructure_k8s_base::{Base, Config, Inputs, unsupported};
use stack::arm::{Deployment, Live};
use stack::file::Profile;
use stack::{Stack, Target};

use crate::args::StackName;
use crate::error::{CliError, Exit, Result};
use crate::project::Project;
use crate::session::{Session, stack_resource};

/// Refuses what the profile does not admit, before anything is asked of Azure.
pub fn load(project: &Project, environment: &str, allow_unsupported: bool) -> Result<Config> {
    let file = project.load::<Config>(StackName::Base, environment)?;
    let path = project.file(StackName::Base, environment);
    let problems = file.config.problems();
    if !problems.is_empty() {
        let list = problems.iter().map(|problem| format!("\n  {problem}")).collect::<String>();
        return Err(CliError::bad_input(format!("{}:{list}", path.display())).advice("Correct the file."));
    }
    let findings = unsupported(&file.config);
    let list = findings.iter().map(|problem| format!("\n  {problem}")).collect::<String>();
    let on_azure = matches!(file.target, Target::Azure(_));
    match file.config.profile {
        Profile::Supported if !findings.is_empty() => {
            Err(CliError::bad_input(format!("{}: `profile: supported` does not admit{list}", path.display()))
                .advice("Choose what each line names, or `profile: seed`."))
        }
        Profile::Seed if on_azure && !findings.is_empty() && !allow_unsupported => {
            Err(CliError::new(Exit::NotAllowed, format!("{}: Azure documents as unsupported{list}", path.display()))
                .advice("Choose what each line names, or go ahead with --allow-unsupported."))
        }
        _ => Ok(file.config),
    }
}

pub fn deployment(session: &Session, config: &Config, live: Option<&Live>) -> Deployment {
    let inputs = Inputs {
        subscription_id: session.arm.subscription_id().to_owned(),
        cluster_exists: live.is_some_and(|live| live.has_type("Microsoft.ContainerService/managedClusters")),
    };
    Deployment {
        name: stack_resource(StackName::Base),
        location: config.location.clone(),
        template: Base::template(config, &inputs),
        parameters: BTreeMap::new(),
        secure_parameters: BTreeMap::new(),
        tags: super::history::tags(session, StackName::Base),
        deny_delete: false,
    }
}
