//! `marea version`.

use serde_json::json;

use crate::terminal::{print, print_json};

/// The Kubernetes that is emulated, declared to AKS and compared with.
const KUBERNETES: &str = "1.36";

pub fn run(as_json: bool) {
    let version = env!("CARGO_PKG_VERSION");
    if as_json {
        print_json(&json!({"marea": version, "kubernetes": KUBERNETES}));
    } else {
        print(&format!("marea {version}\nKubernetes {KUBERNETES}"));
    }
}
