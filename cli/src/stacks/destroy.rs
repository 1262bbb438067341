//! `marea destroy`: in reverse, the data last and only when it is asked for.

use serde_json::json;
use stack::Reporter;
use stack::cluster::{self, Release};

use super::{Known, up};
use crate::args::{Destroy, StackName};
use crate::error::{CliError, Exit, Result};
use crate::project::Project;
use crate::session::{Session, stack_resource};
use crate::terminal::{Terminal, confirm, print, print_json};

pub async fn run(args: &Destroy) -> Result<()> {
    if let Some(context) = &args.elsewhere.context {
        return super::elsewhere::destroy(args, context).await;
    }
    let project = Project::find()?;
    let explicit = args.stacks.stack.or(project.here);
    let mut selection = project.selection(args.stacks.stack);
    if explicit == Some(StackName::Db) && !args.delete_data {
        return Err(CliError::new(Exit::NotAllowed, "the stack `db` holds data, and --delete-data is not given")
            .advice("Nothing was deleted. `marea destroy db --delete-data` deletes the database for good."));
    }
    let keeps_data = !args.delete_data && selection.contains(&StackName::Db);
    selection.retain(|stack| *stack != StackName::Db || args.delete_data);
    let terminal = Terminal::new();
    let session = Session::open(project, &args.stacks.env, false, &terminal).await?;
    let names: Vec<&str> = selection.iter().rev().map(|stack| stack.name()).collect();
    if !session.is_local() && !args.yes && !confirm(&format!("Delete {} of {}?", names.join(", "), session.environment))
    {
        return Err(CliError::new(Exit::NotAllowed, "nothing was deleted: it was not confirmed")
            .advice("--yes goes ahead without asking."));
    }
    let known = up::read_known(&session).await?;
    let mut deleted = Vec::new();
    // The database goes before the cluster's group, which holds the far side of its peering.
    for stack in
        [StackName::Deploy, StackName::Db, StackName::Base].into_iter().filter(|stack| selection.contains(stack))
    {
        let existed = match stack {
            // The cluster takes its objects with it.
            StackName::Deploy if selection.contains(&StackName::Base) && known.base.is_some() => true,
            StackName::Deploy => destroy_deploy(&session, &known, &terminal).await?,
            _ => session.driver().destroy(&stack_resource(stack), &terminal).await?,
        };
        if existed {
            deleted.push(stack.name());
        }
        terminal.line(&format!("{}: {}", stack.name(), if existed { "deleted" } else { "was not there" }));
    }
    terminal.clear();
    if args.stacks.json {
        print_json(&json!({"deleted": deleted, "dataKept": keeps_data}));
    } else if keeps_data {
        print("The database and its data are kept; --delete-data deletes them too.");
    }
    Ok(())
}

async fn destroy_deploy(session: &Session, known: &Known, reporter: &dyn Reporter) -> Result<bool> {
    let Some(base) = known.base_outputs() else { return Ok(false) };
    let cluster = session.cluster(&base.cluster_id).await?;
    let existed = cluster::destroy(&cluster, reporter).await?;
    Release::delete_all(&cluster).await?;
    Ok(existed)
}
