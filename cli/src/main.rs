//! The command line of marea.

mod args;
mod cloud;
mod commands;
mod error;
mod load;
mod planned;
mod pricing;
mod project;
mod session;
mod stacks;
mod terminal;
mod tune;
mod vault;

use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::args::{Cli, Command, Local};
use crate::error::{CliError, Exit, Result};
use crate::terminal::note;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return code(if asked { Exit::Done } else { Exit::BadInput });
        }
    };
    if let Command::Local(Local::Shim { arguments }) = cli.command {
        return kubelet::shim::main(arguments.into_iter());
    }
    if let Command::Local(Local::Serve { root, realistic, isolation }) = &cli.command {
        return finish(serve(root, *realistic, *isolation));
    }
    let mut runtime = match &cli.command {
        Command::Load(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    finish(match runtime.enable_all().build() {
        Ok(runtime) => runtime.block_on(run_until_interrupted(cli.command)),
        Err(error) => Err(no_runtime(&error)),
    })
}

/// The cloud's own process. The kernel lets no process with threads into a user namespace, and the runtime has threads, so
/// the sandbox comes first.
fn serve(root: &Path, realistic: bool, isolation: Option<local_cloud::isolation::Choice>) -> Result<Exit> {
    let isolation = cloud::prepare(isolation)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| no_runtime(&error))?;
    runtime.block_on(cloud::serve(root, realistic, isolation)).map(|()| Exit::Done)
}

fn no_runtime(error: &std::io::Error) -> CliError {
    CliError::failed(format!("the program's runtime could not be started: {error}"))
}

fn finish(result: Result<Exit>) -> ExitCode {
    match result {
        Ok(exit) => code(exit),
        Err(error) => {
            note(&error.to_string());
            code(error.exit)
        }
    }
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}

/// Ctrl-C ends any command at once: what Azure or the cluster was asked to do goes on there, and the next run finds it. The
/// load generator prints what it measured so far, and a verification destroys what it made.
async fn run_until_interrupted(command: Command) -> Result<Exit> {
    if matches!(command, Command::Load(_) | Command::Verify(_)) {
        return run(command).await;
    }
    let repeatable = matches!(command, Command::Up(_) | Command::Destroy(_) | Command::Secret(_));
    tokio::select! {
        result = run(command) => result,
        _ = tokio::signal::ctrl_c() => {
            if !repeatable {
                return Ok(Exit::Interrupted);
            }
            Err(CliError::new(Exit::Interrupted, "interrupted").advice("Nothing is lost: run the same command again and it continues where this one stopped."))
        }
    }
}

async fn run(command: Command) -> Result<Exit> {
    let done = |()| Exit::Done;
    match command {
        Command::Up(args) => stacks::up::run(&args).await,
        Command::Preview(args) => stacks::preview::preview(&args).await,
        Command::Drift(args) => stacks::preview::drift(&args).await,
        Command::Outputs(args) => stacks::outputs::run(&args).await.map(done),
        Command::History(args) => stacks::history::run(&args).await.map(done),
        Command::Dora(args) => stacks::dora::run(&args).await.map(done),
        Command::Destroy(args) => stacks::destroy::run(&args).await.map(done),
        Command::Secret(command) => commands::secret::run(&command).await,
        Command::Local(command) => commands::local::run(&command).await,
        Command::Status(args) => commands::status::run(&args).await.map(done),
        Command::Explain(args) => commands::explain::run(&args).await.map(done),
        Command::Check(args) => commands::check::run(&args),
        Command::Decide(args) => commands::decide::run(args.what).map(done),
        Command::Cost(args) => commands::cost::run(&args).map(done),
        Command::Price(command) => commands::price::run(&command).await.map(done),
        Command::Image(command) => commands::image::run(&command).await.map(done),
        Command::Export(args) => commands::export::run(&args).map(done),
        Command::Load(args) => commands::load::run(&args).await,
        Command::Simulate(args) => commands::simulate::run(&args),
        Command::Tune(args) => commands::tune::run(&args),
        Command::Gate(args) => commands::gate::run(&args),
        Command::Verify(commands::verify::Verify::Azure(args)) => commands::verify::run(&args).await,
        Command::Version(args) => {
            commands::version::run(args.json);
            Ok(Exit::Done)
        }
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "marea", &mut std::io::stdout());
            Ok(Exit::Done)
        }
    }
}
