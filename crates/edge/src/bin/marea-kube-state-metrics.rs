//! `marea-kube-state-metrics`: takes kube-state-metrics' place where its image is not there.

use edge::state::{flags, run};
use std::process::ExitCode;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "before there is a log")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        print!("{}", flags::HELP);
        return ExitCode::SUCCESS;
    }
    let flags = match flags::Flags::parse(&arguments) {
        Ok(flags) => flags,
        Err(error) => {
            eprintln!("marea-kube-state-metrics: {error}");
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
            eprintln!("marea-kube-state-metrics: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run::run(flags)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("marea-kube-state-metrics: {error:#}");
            ExitCode::FAILURE
        }
    }
}
