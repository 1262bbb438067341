//! The stack `deploy` in a cluster of the user's kubeconfig (`--target kube:CONTEXT`).
//!
//! No cloud is asked where the stack's file names a database; without one, the database is the stack `db`'s and ARM says where it is.
//! What was applied is remembered in the cluster alone: its ApplySet and its releases.

use std::collections::BTreeSet;
use std::time::Instant;

use infrastructure_k8s_db::{Outputs as DbOutputs, PASSWORD};
use infrastructure_k8s_deploy::ForeignDatabase;
use serde_json::{Value, json};
use stack::cluster::{self, Cluster, Manifest, Plan, Release};
use stack::{Change, Reporter};

use super::db::{self, Password};
use super::deploy::{self, Deploy};
use super::up::{Outcome, report, roll_back};
use super::{Known, preview, serving};
use crate::args::{Destroy, StackArgs, StackName, Up};
use crate::error::{CliError, Exit, Result};
use crate::project::Project;
use crate::session::Session;
use crate::terminal::{Terminal, confirm, print, print_json, seconds};
use crate::vault::Vault;

const POOL: &str = "marea.dev/pool";

/// What is declared, and the cluster that it is compared with.
struct Elsewhere {
    deploy: Deploy,
    cluster: Cluster,
    plan: Plan,
    commit: Option<String>,
}

impl Elsewhere {
    async fn read(args: &StackArgs, context: &str, reporter: &Terminal) -> Result<Elsewhere> {
        let project = project_of(args)?;
        let commit = stack::git::commit(&project.root);
        let deploy = Deploy::load(&project, &args.env)?;
        let cluster = Cluster::of_context(context).await?;
        let manifests = match deploy.config.database.clone() {
            Some(database) => with_database(&project, args, &deploy, database)?,
            None => with_stack(project, args, &deploy, reporter).await?,
        };
        deploy::check_alone(&manifests)?;
        for pool in missing_pools(&cluster, &manifests).await? {
            reporter.line(&format!(
                "deploy: no node of {context} has the label {POOL}={pool}; pods for it wait (`kubectl label node NAME {POOL}={pool}`)"
            ));
        }
        let plan = cluster::plan(&cluster, manifests).await?;
        Ok(Elsewhere { deploy, cluster, plan, commit })
    }
}

/// The other stacks are ARM's.
fn project_of(args: &StackArgs) -> Result<Project> {
    let project = Project::find()?;
    match args.stack.or(project.here) {
        None | Some(StackName::Deploy) => Ok(project),
        Some(stack) => Err(CliError::bad_input(format!(
            "the stack `{}` is made by Azure Resource Manager, not by a cluster",
            stack.name()
        ))
        .advice(
            "--target kube:CONTEXT is for the stack `deploy`: name it, or run the command at the repository's root.",
        )),
    }
}

fn with_database(
    project: &Project,
    args: &StackArgs,
    deploy: &Deploy,
    database: ForeignDatabase,
) -> Result<Vec<Manifest>> {
    let mut vault = Vault::open(project, StackName::Deploy, &args.env)?;
    let value = vault.get(PASSWORD)?.ok_or_else(|| {
        let file = project.file(StackName::Deploy, &args.env);
        CliError::bad_input(format!("{} names a database, but has no secret `{PASSWORD}`", file.display()))
            .advice(format!("printf %s PASSWORD | marea secret set {PASSWORD} --stack deploy --env {}", args.env))
    })?;
    let password = Password { value, revision: vault.revision(PASSWORD).unwrap_or_default() };
    let outputs = DbOutputs {
        resource_group: String::new(),
        server_name: database.host.clone(),
        host: database.host,
        port: database.port,
        database: database.name,
        user: database.user,
        user_connections: database.user_connections,
    };
    deploy.manifests_trusting(&outputs, &password, None)
}

async fn with_stack(project: Project, args: &StackArgs, deploy: &Deploy, reporter: &Terminal) -> Result<Vec<Manifest>> {
    let session = Session::open(project, &args.env, false, reporter).await?;
    let known = Known { base: None, db: session.live(StackName::Db).await? };
    deploy.manifests(&session, &known.need_db()?, &db::password(&session, false)?)
}

/// Pools that manifests choose and no node is in. A cluster may still grow them, so they hinder nothing.
async fn missing_pools(cluster: &Cluster, manifests: &[Manifest]) -> Result<BTreeSet<String>> {
    let mut missing = BTreeSet::new();
    manifests.iter().for_each(|manifest| pools_in(&manifest.value, &mut missing));
    let nodes = cluster.get("/api/v1/nodes").await?.unwrap_or_default();
    for node in nodes["items"].as_array().into_iter().flatten() {
        if let Some(pool) = node["metadata"]["labels"][POOL].as_str() {
            missing.remove(pool);
        }
    }
    Ok(missing)
}

/// The values of every node selector's term about pools, at whatever depth.
fn pools_in(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if fields.get("key").is_some_and(|key| key == POOL) => {
            let values = fields.get("values").and_then(Value::as_array);
            found.extend(values.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
        }
        Value::Object(fields) => fields.values().for_each(|inner| pools_in(inner, found)),
        Value::Array(items) => items.iter().for_each(|item| pools_in(item, found)),
        _ => {}
    }
}

/// `marea preview` and `marea drift`.
pub async fn compare(args: &StackArgs, context: &str, drift: bool) -> Result<Exit> {
    let terminal = Terminal::new();
    let found = Elsewhere::read(args, context, &terminal).await?;
    terminal.clear();
    let changes = found.plan.changes;
    let any = !changes.is_empty();
    preview::show(args.json, drift, &[(StackName::Deploy, changes)], None);
    Ok(if any { Exit::WouldChange } else { Exit::Done })
}

/// `marea up`.
pub async fn up(args: &Up, context: &str) -> Result<Exit> {
    let terminal = Terminal::new();
    let start = Instant::now();
    let found = Elsewhere::read(&args.stacks, context, &terminal).await?;
    let changes: Vec<Change> = found.plan.changes.clone();
    if !args.yes {
        for change in &changes {
            terminal.line(&change.to_string());
        }
        ask(changes.is_empty(), &format!("Apply to {context}?"), "changed")?;
    }
    if let Err(error) = roll_out(&found, &terminal).await {
        return Err(match args.atomic {
            true => roll_back(&found.cluster, &found.deploy, error, &terminal).await.0,
            false => error,
        });
    }
    if !changes.is_empty() {
        let number = Release::store(&found.cluster, &found.plan.manifests, found.commit.as_deref()).await?;
        terminal.line(&format!("deploy: release {number} of {context}"));
    }
    let url = serving::load_balancer(&found.cluster).await?;
    let outcome = Outcome { stack: StackName::Deploy, changes, duration: start.elapsed() };
    terminal.clear();
    if args.stacks.json {
        print_json(&report(&[outcome], url.as_deref(), terminal.elapsed()));
        return Ok(Exit::Done);
    }
    print(&format!("{:<7} {} ({})", outcome.stack.name(), outcome.summary(), seconds(outcome.duration)));
    if let Some(url) = url {
        print(&format!("Console: {url}"));
    }
    Ok(Exit::Done)
}

async fn roll_out(found: &Elsewhere, reporter: &dyn Reporter) -> Result<()> {
    if !found.plan.is_empty() {
        cluster::apply(&found.cluster, &found.plan, reporter).await?;
    }
    Ok(cluster::wait_for_rollouts(&found.cluster, found.deploy.rollout_patience(), reporter).await?)
}

/// `marea destroy`.
pub async fn destroy(args: &Destroy, context: &str) -> Result<()> {
    project_of(&args.stacks)?;
    let terminal = Terminal::new();
    let cluster = Cluster::of_context(context).await?;
    ask(args.yes, &format!("Delete deploy of {context}?"), "deleted")?;
    let existed = cluster::destroy(&cluster, &terminal).await?;
    Release::delete_all(&cluster).await?;
    terminal.line(&format!("deploy: {}", if existed { "deleted" } else { "was not there" }));
    terminal.clear();
    if args.stacks.json {
        let deleted: &[&str] = if existed { &["deploy"] } else { &[] };
        print_json(&json!({"deleted": deleted, "dataKept": true}));
    }
    Ok(())
}

fn ask(agreed: bool, question: &str, done: &str) -> Result<()> {
    if agreed || confirm(question) {
        return Ok(());
    }
    Err(CliError::new(Exit::NotAllowed, format!("nothing was {done}: it was not confirmed"))
        .advice("--yes goes ahead without asking."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_read_where_a_selector_names_them() {
        let terms = json!([{"matchExpressions": [{"key": POOL, "operator": "In", "values": ["backend", "other"]}]}]);
        let affinity =
            json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
        let deployment = json!({"spec": {"template": {"spec": {
            "affinity": affinity, "tolerations": [{"key": POOL, "value": "tolerated"}],
        }}}});
        let mut found = BTreeSet::new();
        pools_in(&deployment, &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["backend", "other"]);
    }
}
