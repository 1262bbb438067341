//! `marea-prometheus-operator`: takes the prometheus-operator's place where its image is not there.

use edge::operator::{flags, run};

fn main() -> std::process::ExitCode {
    edge::program::main("marea-prometheus-operator", flags::HELP, flags::Flags::parse, run::run)
}
