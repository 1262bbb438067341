//! `marea export`: templates and manifests as they are, or as programs of Pulumi's YAML runtime. Nothing is asked of any cloud.

use std::path::Path;

use arm_model::Template;
use infrastructure_k8s_base::Base;
use infrastructure_k8s_db::{Db, Outputs as DbOutputs, PASSWORD_PARAMETER};
use infrastructure_k8s_deploy::{Database, Inputs as DeployInputs, manifests};
use serde_json::{Map, Value, json};
use stack::Stack;
use stack::cluster::{Manifest, read_folder};
use stack::export::{
    ExportError, PULUMI_SUBSCRIPTION, Program, PulumiFiles, azure_program, kubernetes_program, stack_reference,
};
use stack::secrets::Secret;

use crate::args::{Export, ExportFormat, StackName};
use crate::error::{CliError, Result};
use crate::project::Project;
use crate::terminal::{note, print};

pub fn run(args: &Export) -> Result<()> {
    let project = Project::find()?;
    if args.write && args.format == ExportFormat::Arm {
        return Err(CliError::bad_input("--write is for pulumi: templates are not kept in the repository")
            .advice("Redirect the output to a file."));
    }
    for stack in project.selection(args.stack) {
        match args.format {
            ExportFormat::Arm => print(&arm(&project, stack, &args.env)?),
            ExportFormat::Pulumi => {
                let files = pulumi(&project, stack, &args.env)?;
                if args.write {
                    write(&project.root.join(stack.folder()), &files)?;
                } else {
                    print(&format!("# {}/Pulumi.yaml\n{}", stack.folder(), files.program));
                    print(&format!("# {}/Pulumi.production.yaml\n{}", stack.folder(), files.configuration));
                }
            }
        }
    }
    Ok(())
}

fn write(folder: &Path, files: &PulumiFiles) -> Result<()> {
    for (name, text) in [("Pulumi.yaml", &files.program), ("Pulumi.production.yaml", &files.configuration)] {
        let path = folder.join(name);
        stack::secrets::write_atomically(&path, text, 0o644)?;
        note(&format!("wrote {}", path.display()));
    }
    Ok(())
}

fn cannot(error: ExportError) -> CliError {
    CliError::failed(error.to_string())
}

fn arm(project: &Project, stack: StackName, environment: &str) -> Result<String> {
    let subscription =
        std::env::var("AZURE_SUBSCRIPTION_ID").unwrap_or_else(|_| "00000000-0000-0000-0000-000000000000".to_owned());
    let template = match stack {
        StackName::Base => base(project, environment, &subscription)?,
        StackName::Db => {
            let group = format!("/subscriptions/{subscription}/resourceGroups/marea-base");
            db(
                project,
                environment,
                &subscription,
                &format!("{group}/providers/Microsoft.Network/virtualNetworks/marea"),
            )?
        }
        StackName::Deploy => return deploy_documents(project, environment),
    };
    Ok(serde_json::to_string_pretty(&template.to_value()).unwrap_or_default() + "\n")
}

fn base(project: &Project, environment: &str, subscription: &str) -> Result<Template> {
    let file = project.load::<infrastructure_k8s_base::Config>(StackName::Base, environment)?;
    let inputs = infrastructure_k8s_base::Inputs { subscription_id: subscription.to_owned(), cluster_exists: false };
    Ok(Base::template(&file.config, &inputs))
}

fn db(project: &Project, environment: &str, subscription: &str, network_id: &str) -> Result<Template> {
    let base = project.load::<infrastructure_k8s_base::Config>(StackName::Base, environment)?.config;
    let file = project.load::<infrastructure_k8s_db::Config>(StackName::Db, environment)?;
    let inputs = infrastructure_k8s_db::Inputs {
        subscription_id: subscription.to_owned(),
        cluster_resource_group: base.resource_group,
        cluster_network_name: "marea".to_owned(),
        cluster_network_id: network_id.to_owned(),
        backend_subnet_prefix: base.node_pools.get("backend").map(|pool| pool.subnet.clone()).unwrap_or_default(),
        password_revision: "exported".to_owned(),
    };
    Ok(Db::template(&file.config, &inputs))
}

/// The manifests as they are applied, with texts in the place of what only a deployment knows.
fn deploy(project: &Project, environment: &str, host: &str, password: &str, authority: &str) -> Result<Vec<Manifest>> {
    let file = project.load::<infrastructure_k8s_deploy::Config>(StackName::Deploy, environment)?;
    let db = project.load::<infrastructure_k8s_db::Config>(StackName::Db, environment)?.config;
    let source = read_folder(&project.root.join(StackName::Deploy.folder()).join(&file.config.manifests))?;
    let outputs = DbOutputs {
        resource_group: db.resource_group.clone(),
        server_name: String::new(),
        host: host.to_owned(),
        port: 5432,
        database: db.database.clone(),
        user: db.administrator.clone(),
        user_connections: db.user_connections().unwrap_or_default(),
    };
    let database = Database {
        host: outputs.host,
        port: outputs.port,
        name: outputs.database,
        user: outputs.user,
        password: Secret::new(password),
        user_connections: outputs.user_connections,
    };
    Ok(manifests(&file.config, &DeployInputs { database, certificate_authority: authority.to_owned() }, source)?)
}

/// YAML documents without the Secret, which is nothing to print.
fn deploy_documents(project: &Project, environment: &str) -> Result<String> {
    let objects =
        deploy(project, environment, "(output host of the stack db)", "(not exported)", "(PEM of the authorities)")?;
    let mut out = String::new();
    for manifest in objects.iter().filter(|manifest| manifest.kind.kind != "Secret") {
        out.push_str("---\n");
        out.push_str(
            &serde_saphyr::to_string(&manifest.value)
                .map_err(|error| CliError::failed(format!("{} cannot be written: {error}", manifest.key())))?,
        );
    }
    Ok(out)
}

pub fn pulumi(project: &Project, stack: StackName, environment: &str) -> Result<PulumiFiles> {
    let start = |description: &str| Program {
        name: stack.folder().to_owned(),
        description: description.to_owned(),
        ..Program::default()
    };
    let program = match stack {
        StackName::Base => {
            let template = base(project, environment, PULUMI_SUBSCRIPTION)?;
            let mut program = azure_program(start("Network and AKS cluster"), &template).map_err(cannot)?;
            program.values = location(project, environment)?;
            program
        }
        StackName::Db => {
            let template = db(project, environment, PULUMI_SUBSCRIPTION, "${base.outputs[\"virtualNetworkId\"]}")?;
            let mut program = start("PostgreSQL in a network of its own");
            program.resources.insert("base".to_owned(), stack_reference(StackName::Base.folder()));
            let mut program = azure_program(program, &template).map_err(cannot)?;
            program.values = location(project, environment)?;
            program.values.insert(
                format!("{}:{PASSWORD_PARAMETER}", stack.folder()),
                json!({"secure": "set it with: pulumi config set --secret"}),
            );
            program
        }
        StackName::Deploy => {
            let objects = deploy(
                project,
                environment,
                "pulumi-config:databaseHost",
                "(set below)",
                "pulumi-config:databaseCertificateAuthority",
            )?;
            let mut program = start("The application, its ingress and monitoring");
            for (name, secret) in
                [("databaseHost", false), ("databaseCertificateAuthority", false), ("databasePassword", true)]
            {
                program.inputs.insert(name.to_owned(), json!({"type": "string", "secret": secret}));
            }
            let mut program = kubernetes_program(program, &objects).map_err(cannot)?;
            set_password(&mut program.resources);
            program.values = Map::from_iter([(
                format!("{}:databaseHost", stack.folder()),
                json!("set it to the output host of infrastructure-k8s-db"),
            )]);
            program
        }
    };
    program.files().map_err(cannot)
}

fn location(project: &Project, environment: &str) -> Result<Map<String, Value>> {
    let file = project.load::<infrastructure_k8s_base::Config>(StackName::Base, environment)?;
    Ok(Map::from_iter([("azure-native:location".to_owned(), json!(file.config.location))]))
}

/// The Secret takes the password as text from Pulumi's own secret configuration.
fn set_password(resources: &mut Map<String, Value>) {
    if let Some(secret) = resources
        .get_mut("secret-platform-backend-database")
        .and_then(|resource| resource["properties"].as_object_mut())
    {
        secret.remove("data");
        secret.insert("stringData".to_owned(), json!({"PGPASSWORD": "${databasePassword}"}));
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// `marea export pulumi --write` makes the committed files anew.
    #[test]
    fn the_committed_pulumi_files_are_the_stacks() {
        let project = Project { root: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".."), here: None };
        for stack in StackName::ALL {
            let files = pulumi(&project, stack, "production").unwrap();
            let folder = project.root.join(stack.folder());
            for (name, expected) in [("Pulumi.yaml", &files.program), ("Pulumi.production.yaml", &files.configuration)]
            {
                let committed = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
                assert!(
                    committed == *expected,
                    "{}/{name} differs; `marea export pulumi --write` makes it anew",
                    stack.folder()
                );
            }
        }
    }
}
