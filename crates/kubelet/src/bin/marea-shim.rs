//! Watches one container process; see `kubelet::shim`.

fn main() -> std::process::ExitCode {
    kubelet::shim::main(std::env::args_os().skip(1))
}
