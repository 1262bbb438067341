//! Taints of nodes, which several controllers write.

use k8s_openapi::api::core::v1::{Node, Taint};
use kube_server::Client;

use crate::error::{Context as _, Error, ignore_gone, is_conflict};

/// The kubelet writes the same object with every heartbeat, so that a write may come too late a few times in a row.
const ATTEMPTS: usize = 20;

/// Changes the taints of a node if it still exists; `change` gets the current ones and leaves the wanted ones.
///
/// # Errors
/// When the node cannot be written.
pub(crate) async fn change_taints(
    client: &Client,
    name: &str,
    change: impl Fn(&mut Vec<Taint>) + Send + Sync,
) -> Result<(), Error> {
    let mut attempt = 0;
    loop {
        let Some(node) = client.get::<Node>(None, name) else { return Ok(()) };
        let mut updated = (*node).clone();
        let taints = updated.spec.get_or_insert_default().taints.get_or_insert_default();
        let before = taints.clone();
        change(taints);
        if *taints == before {
            return Ok(());
        }
        match ignore_gone(client.update(&updated).await) {
            Err(error) if is_conflict(&error) && attempt < ATTEMPTS => attempt += 1,
            outcome => return outcome.map(drop).context(|| format!("write the taints of node {name}")),
        }
    }
}

pub(crate) fn taints(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}
