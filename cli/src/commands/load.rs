//! `marea load`, aimed at the running platform.

use crate::cloud;
use crate::error::{CliError, Exit, Result};
use crate::load::{Args, LoadError, Outcome, run as run_load};

pub async fn run(args: &Args) -> Result<Exit> {
    let platform = cloud::find()?.and_then(|cloud| cloud.console_url);
    match run_load(args, platform.as_deref()).await {
        Ok(Outcome::AllAnswered) => Ok(Exit::Done),
        Ok(Outcome::SomeFailed) => Ok(Exit::Failed),
        Ok(Outcome::Interrupted) => Ok(Exit::Interrupted),
        Err(error) => Err(refused(&error)),
    }
}

fn refused(error: &LoadError) -> CliError {
    let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    CliError::bad_input(format!("{error}{cause}"))
}
