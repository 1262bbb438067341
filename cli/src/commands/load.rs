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
    if matches!(error, LoadError::NoPlatform) {
        // The arguments are in order; what is missing is the cloud, or the platform in it.
        let incomplete = || CliError::failed(error.to_string()).advice("Deploy it with `marea up`, or name a --url.");
        return cloud::running().map_or_else(|stopped| stopped, |_| incomplete());
    }
    let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    CliError::bad_input(format!("{error}{cause}"))
}
