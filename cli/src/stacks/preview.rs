//! `marea preview` and `marea drift`: the same comparison, told apart by what it is asked for.
//!
//! A preview says what `up` would do from what is declared now. Drift only looks at stacks that were deployed, and at what
//! differs from the declaration although nobody ran `up`.

use serde_json::json;
use stack::cluster::Plan;
use stack::{Change, ChangeKind};

use super::{Declared, Known, base, cost, db, elsewhere, record, up};
use crate::args::{Drift, Preview, StackArgs, StackName};
use crate::error::{CliError, Exit, Result};
use crate::project::Project;
use crate::session::Session;
use crate::terminal::{Terminal, print, print_json};

pub async fn preview(args: &Preview) -> Result<Exit> {
    if let Some(context) = &args.elsewhere.context {
        return elsewhere::compare(&args.stacks, context, false).await;
    }
    run(&args.stacks, args.allow_unsupported, false, args.publish).await
}

pub async fn drift(args: &Drift) -> Result<Exit> {
    if let Some(context) = &args.elsewhere.context {
        return elsewhere::compare(&args.stacks, context, true).await;
    }
    run(&args.stacks, true, true, false).await
}

async fn run(args: &StackArgs, allow_unsupported: bool, deployed_only: bool, publish: bool) -> Result<Exit> {
    let project = Project::find()?;
    let selection = project.selection(args.stack);
    let declared = Declared::load(&project, &args.env, allow_unsupported)?;
    let terminal = Terminal::new();
    let session = Session::open(project, &args.env, !deployed_only, &terminal).await?;
    let known = up::read_known(&session).await?;
    // Nothing is changed, so everything is asked at once.
    let compare = async |stack| {
        if !selection.contains(&stack) {
            return Ok::<_, CliError>(None);
        }
        let changes = match stack {
            StackName::Base => of_base(&session, &declared, &known, deployed_only).await?,
            StackName::Db => of_db(&session, &declared, &known, deployed_only).await?,
            StackName::Deploy => of_deploy(&session, &declared, &known, deployed_only).await?,
        };
        Ok(Some((stack, changes)))
    };
    let priced = async { if deployed_only { None } else { Some(cost::change(&session, &known, &selection).await) } };
    let (base, db, deploy, cost) =
        tokio::join!(compare(StackName::Base), compare(StackName::Db), compare(StackName::Deploy), priced);
    let found: Vec<(StackName, Vec<Change>)> = [base?, db?, deploy?].into_iter().flatten().collect();
    if publish {
        record::publish(&session, &known, &record::preview(&session, &found, cost.as_ref())).await?;
    }
    terminal.clear();
    show(args.json, deployed_only, &found, cost.as_ref());
    let any = found.iter().any(|(_, changes)| !changes.is_empty());
    Ok(if any { Exit::WouldChange } else { Exit::Done })
}

async fn of_base(session: &Session, declared: &Declared, known: &Known, deployed_only: bool) -> Result<Vec<Change>> {
    if deployed_only && known.base.is_none() {
        return Ok(Vec::new());
    }
    let deployment = base::deployment(session, &declared.base, known.base.as_ref());
    Ok(session.driver().preview(&deployment, known.base.as_ref()).await?)
}

async fn of_db(session: &Session, declared: &Declared, known: &Known, deployed_only: bool) -> Result<Vec<Change>> {
    if deployed_only && known.db.is_none() {
        return Ok(Vec::new());
    }
    let password = db::password(session, false)?;
    match known.base_outputs() {
        Some(outputs) => {
            let deployment = db::deployment(session, &declared.db, &outputs, &password);
            Ok(session.driver().preview(&deployment, known.db.as_ref()).await?)
        }
        // The base stack does not exist yet, and ARM would refuse a template that writes into its group.
        None => Ok(created_by(
            &db::deployment(session, &declared.db, &outputs_before_base(session, &declared.base), &password).template,
        )),
    }
}

/// What the base stack's outputs will be, as far as its configuration says.
fn outputs_before_base(
    session: &Session,
    config: &infrastructure_k8s_base::Config,
) -> infrastructure_k8s_base::Outputs {
    let group = format!("{}/resourceGroups/{}", session.arm.subscription_path(), config.resource_group);
    infrastructure_k8s_base::Outputs {
        resource_group: config.resource_group.clone(),
        cluster_id: format!("{group}/providers/Microsoft.ContainerService/managedClusters/{}", config.cluster_name),
        cluster_name: config.cluster_name.clone(),
        cluster_fqdn: String::new(),
        oidc_issuer_url: String::new(),
        virtual_network_name: "marea".to_owned(),
        virtual_network_id: format!("{group}/providers/Microsoft.Network/virtualNetworks/marea"),
        backend_subnet_prefix: config.node_pools.get("backend").map(|pool| pool.subnet.clone()).unwrap_or_default(),
    }
}

/// Every resource of a template, as created.
fn created_by(template: &arm_model::Template) -> Vec<Change> {
    let mut changes = Vec::new();
    for (_, resource) in template.resources() {
        let nested = resource
            .view::<arm_model::resources::Deployment>()
            .ok()
            .and_then(|deployment| deployment.properties.template);
        match nested.and_then(|nested| serde_json::from_value::<arm_model::Template>(nested).ok()) {
            Some(nested) => changes.extend(created_by(&nested)),
            None => changes.push(Change {
                kind: ChangeKind::Create,
                target: format!("{} {}", resource.resource_type, resource.name),
                properties: Vec::new(),
            }),
        }
    }
    changes
}

async fn of_deploy(session: &Session, declared: &Declared, known: &Known, deployed_only: bool) -> Result<Vec<Change>> {
    if known.base_outputs().is_some() && known.db_outputs().is_some() {
        let password = db::password(session, false)?;
        return Ok(up::plan(session, known, &declared.deploy, &password).await?.1.changes);
    }
    let before = declared.deploy.manifests_before_db(&declared.db)?;
    Ok(if deployed_only { Vec::new() } else { Plan::for_no_cluster(before).changes })
}

/// A price that is not known hinders no preview; it is told in the cost's place.
pub(super) fn show(
    as_json: bool,
    drift: bool,
    found: &[(StackName, Vec<Change>)],
    cost: Option<&Result<cost::Change>>,
) {
    if as_json {
        let stacks: Vec<_> =
            found.iter().map(|(stack, changes)| json!({"stack": stack.name(), "changes": changes})).collect();
        let mut document = json!({"stacks": stacks, "changed": found.iter().any(|(_, changes)| !changes.is_empty())});
        match cost {
            Some(Ok(cost)) => document["monthlyCost"] = cost.json(),
            Some(Err(error)) => document["monthlyCost"] = json!({"error": error.message}),
            None => {}
        }
        print_json(&document);
        return;
    }
    for (stack, changes) in found {
        let headline = match (changes.is_empty(), drift) {
            (true, true) => "as declared".to_owned(),
            (true, false) => "unchanged".to_owned(),
            (false, true) => format!("differs: {}", count(changes)),
            (false, false) => count(changes),
        };
        print(&format!("{}: {headline}", stack.name()));
        for change in changes {
            print(&format!("  {}", change.to_string().replace('\n', "\n  ")));
        }
    }
    match cost {
        Some(Ok(cost)) => print(&cost.text()),
        Some(Err(error)) => print(&format!("Monthly cost: not known: {}", error.message)),
        None => {}
    }
}

/// `3 created, 1 changed`
pub fn count(changes: &[Change]) -> String {
    let words = [
        (ChangeKind::Create, "created"),
        (ChangeKind::Modify, "changed"),
        (ChangeKind::Delete, "deleted"),
        (ChangeKind::Detach, "detached"),
    ];
    let parts: Vec<String> = words
        .into_iter()
        .map(|(kind, word)| (changes.iter().filter(|change| change.kind == kind).count(), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if parts.is_empty() { "unchanged".to_owned() } else { parts.join(", ") }
}
