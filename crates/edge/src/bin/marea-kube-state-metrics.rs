//! `marea-kube-state-metrics`: takes kube-state-metrics' place where its image is not there.

use edge::state::{flags, run};

fn main() -> std::process::ExitCode {
    edge::program::main("marea-kube-state-metrics", flags::HELP, flags::Flags::parse, run::run)
}
