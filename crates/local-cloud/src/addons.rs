//! AKS's own add-ons in `kube-system`, which take their share of every node before anybody's pods do.
//!
//! The embedded cloud does their work itself, so their containers only reserve (`mcr.microsoft.com/*` is a pause in
//! `local/images.yaml`). What they reserve is `platform::ADD_ONS`, which the checks place too.

use futures::future::try_join_all;
use kube_server::client::PatchKind;
use kube_server::{ApiError, Client};
use platform::{ADD_ONS, AddOn};

const NAMESPACE: &str = "kube-system";
const MANAGER: &str = "addon-manager";

/// Puts the add-ons into the cluster, or back to what they are.
///
/// # Errors
/// When the API refuses one, for instance because the disk is full.
pub(crate) async fn reconcile(client: &Client) -> Result<(), ApiError> {
    let client = client.with_manager(MANAGER);
    let applied = ADD_ONS.iter().map(|addon| {
        let (client, object) = (client.clone(), addon.manifest());
        async move {
            client
                .patch_raw(resource(addon), Some(NAMESPACE), addon.name, PatchKind::Apply { force: true }, &object)
                .await
        }
    });
    try_join_all(applied).await.map(drop)
}

fn resource(addon: &AddOn) -> &'static str {
    match addon.replicas {
        None => "daemonsets.apps",
        Some(_) => "deployments.apps",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_one_that_the_catalogue_pauses() {
        for addon in &ADD_ONS {
            let image = addon.manifest()["spec"]["template"]["spec"]["containers"][0]["image"].clone();
            assert!(image.as_str().is_some_and(|image| image.starts_with("mcr.microsoft.com/")), "{image}");
        }
    }
}
