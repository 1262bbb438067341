//! `marea outputs`.

use serde_json::{Map, Value, json};

use super::{serving, up};
use crate::args::{StackArgs, StackName};
use crate::error::Result;
use crate::project::Project;
use crate::session::Session;
use crate::terminal::{Terminal, print, print_json};

pub async fn run(args: &StackArgs) -> Result<()> {
    let project = Project::find()?;
    let selection = project.selection(args.stack);
    let terminal = Terminal::new();
    let session = Session::open(project, &args.env, false, &terminal).await?;
    let known = up::read_known(&session).await?;
    let mut all = Map::new();
    for stack in selection {
        let outputs = match stack {
            StackName::Base => known.base.as_ref().map(|live| live.outputs.clone()),
            StackName::Db => known.db.as_ref().map(|live| live.outputs.clone()),
            StackName::Deploy => match known.base_outputs() {
                Some(base) => serving::address(&session, &session.cluster(&base.cluster_id).await?)
                    .await?
                    .map(|url| Map::from_iter([("console".to_owned(), json!(url))])),
                None => None,
            },
        };
        all.insert(stack.name().to_owned(), outputs.map_or(Value::Null, Value::Object));
    }
    terminal.clear();
    if args.json {
        print_json(&Value::Object(all));
        return Ok(());
    }
    for (stack, outputs) in &all {
        match outputs.as_object() {
            Some(outputs) => {
                for (name, value) in outputs {
                    print(&format!(
                        "{stack}.{name} = {}",
                        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
                    ));
                }
            }
            None => print(&format!("{stack}: not deployed")),
        }
    }
    Ok(())
}
