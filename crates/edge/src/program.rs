//! What the programs that take another image's place have in common: help, flags, a log, a runtime, an exit code.

use std::fmt::Display;
use std::future::Future;
use std::process::ExitCode;

/// Exit code 2 for flags that are refused, 1 when it fails later.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "before there is a log")]
pub fn main<F, E, R>(
    name: &str,
    help: &str,
    parse: impl FnOnce(&[String]) -> Result<F, E>,
    run: impl FnOnce(F) -> R,
) -> ExitCode
where
    E: Display,
    R: Future<Output = anyhow::Result<()>>,
{
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        print!("{help}");
        return ExitCode::SUCCESS;
    }
    let flags = match parse(&arguments) {
        Ok(flags) => flags,
        Err(error) => {
            eprintln!("{name}: {error}");
            return ExitCode::from(2);
        }
    };
    // A log that nobody reads any more must not stop the program: by default a failed write panics on standard error.
    tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(tracing_subscriber::EnvFilter::new("info"))
        .with_writer(std::io::stderr)
        .json()
        .init();
    // More than one TLS provider may be compiled into the process; naming one here keeps rustls from having to guess.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{name}: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(flags)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
