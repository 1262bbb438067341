//! `marea-ingress`: takes Traefik's place where its image is not there.

use edge::ingress::{flags::Flags, run};
use std::process::ExitCode;
use tokio::runtime::Builder;

const HELP: &str = "\
marea-ingress: a stand-in for Traefik v3, with its flags

  --entrypoints.NAME.address=ADDRESS:PORT
  --entrypoints.NAME.transport.lifecycle.requestacceptgracetimeout=10s
  --entrypoints.NAME.transport.lifecycle.gracetimeout=30s
  --providers.kubernetesingress=true
  --providers.kubernetesingress.namespaces=A,B
  --providers.kubernetesingress.ingressclass=CLASS
  --providers.kubernetesingress.strictprefixmatching=true
  --providers.kubernetesingress.ingressendpoint.publishedservice=NAMESPACE/NAME
  --metrics.prometheus=true  --metrics.prometheus.entrypoint=NAME
  --ping=true                --ping.entrypoint=NAME
  --log.level=INFO           --log.format=json|common

Example:
  marea-ingress --entrypoints.web.address=127.0.0.1:8000 --providers.kubernetesingress=true --ping=true
";

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "before there is a log")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let flags = match Flags::parse(arguments) {
        Ok(flags) => flags,
        Err(error) => {
            eprintln!("marea-ingress: {error}");
            return ExitCode::from(2);
        }
    };
    log_to_stderr(&flags);
    // More than one TLS provider may be compiled into the process; naming one here keeps rustls from having to guess.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match serve(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("marea-ingress: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One thread carries more than the pods behind it, and no request is handed from one thread to another on its way; more
/// cores are used by more replicas. What follows the cluster has a thread of its own: a long list that comes from the API
/// holds no request up.
fn serve(flags: Flags) -> anyhow::Result<()> {
    let control = Builder::new_multi_thread().worker_threads(1).thread_name("control").enable_all().build()?;
    let data = Builder::new_current_thread().enable_io().build()?;
    let served = data.block_on(run::run(flags, control.handle().clone()));
    control.shutdown_background();
    served
}

fn log_to_stderr(flags: &Flags) {
    let level = match flags.log_level.as_str() {
        "trace" | "debug" | "info" | "warn" => flags.log_level.as_str(),
        // Traefik's other levels are all rarer than errors.
        _ => "error",
    };
    // A log that nobody reads any more must not stop the program: by default a failed write panics on standard error.
    let builder = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(std::io::stderr);
    if flags.log_json { builder.json().init() } else { builder.init() }
}
