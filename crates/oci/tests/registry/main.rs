//! Images against a registry that the test itself starts.

mod server;
mod store;

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use oci::{Architecture, Base, Contents, Credential, Image, Layer, Layout, OciError, Placed, Reference, Registry};
use serde_json::Value;

use crate::server::{Access, Server};

fn contents(layer: Layer) -> Contents {
    Contents {
        layer,
        architecture: Architecture::Amd64,
        created: Timestamp::from_second(1_790_000_000).unwrap(),
        created_by: "marea image build".into(),
        user: "10001:10001".into(),
        entrypoint: vec!["/marea-backend".into()],
        env: vec![("PATH".into(), "/".into())],
        port: 8080,
        stop_signal: "SIGTERM".into(),
        labels: BTreeMap::from([("org.opencontainers.image.title".into(), "backend".into())]),
    }
}

/// Bytes that do not compress, by a linear congruential generator.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn build(folder: &Path, program: &[u8]) -> (Layout, Image) {
    let layout = Layout::create(folder).unwrap();
    let mut layer = Layer::default();
    layer.file("marea-backend", true, program);
    let image = Image::build(&contents(layer), None, "backend", &layout).unwrap();
    (layout, image)
}

async fn push(
    server: &Server,
    credential: Option<Credential>,
    layout: &Layout,
    repository: &str,
    mount: Option<&str>,
) -> Result<Vec<Placed>, OciError> {
    let reference = Reference::parse(&format!("{}/{repository}:1", server.address)).unwrap();
    let mut placed = Vec::new();
    let registry = Registry::new(&reference, credential)?;
    let digest = registry.push(layout, &reference, mount, |_, how| placed.push(how)).await?;
    assert_eq!(digest, layout.manifest()?.digest);
    assert_eq!(registry.resolve(&reference).await?, digest);
    Ok(placed)
}

fn me(password: &str) -> Option<Credential> {
    Some(Credential::Password { username: "me".into(), password: password.into() })
}

#[tokio::test]
async fn an_image_is_pushed_once_and_mounted_elsewhere() {
    let server = Server::start(Access::Anybody).await;
    let folder = tempfile::tempdir().unwrap();
    let (layout, image) = build(folder.path(), b"a program");
    assert_eq!(push(&server, None, &layout, "team/backend", None).await.unwrap(), [Placed::Uploaded; 2]);
    for blob in layout.blobs(&image.manifest).unwrap() {
        assert_eq!(server.blob("team/backend", &blob.digest.to_string()).unwrap().len() as u64, blob.size);
    }
    let uploads = server.count("POST");
    assert_eq!(push(&server, None, &layout, "team/backend", None).await.unwrap(), [Placed::Existed; 2]);
    assert_eq!(server.count("POST"), uploads, "what is there is not sent again");
    assert_eq!(push(&server, None, &layout, "other", Some("team/backend")).await.unwrap(), [Placed::Mounted; 2]);
    // Nothing to mount there: uploaded all the same.
    assert_eq!(push(&server, None, &layout, "third", Some("nowhere")).await.unwrap(), [Placed::Uploaded; 2]);
}

#[tokio::test]
async fn a_large_layer_goes_in_pieces() {
    let server = Server::start(Access::Anybody).await;
    let folder = tempfile::tempdir().unwrap();
    let (layout, image) = build(folder.path(), &noise(9 << 20));
    assert_eq!(push(&server, None, &layout, "backend", None).await.unwrap(), [Placed::Uploaded; 2]);
    assert_eq!(server.count("PATCH"), 2, "8 + 1 MiB");
    let layer = &layout.blobs(&image.manifest).unwrap()[0];
    assert_eq!(server.blob("backend", &layer.digest.to_string()).unwrap().len() as u64, layer.size);
}

#[tokio::test]
async fn both_ways_of_signing_in_work_and_strangers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (layout, _) = build(folder.path(), b"a program");
    for access in [Access::Basic, Access::Bearer] {
        let server = Server::start(access).await;
        assert_eq!(push(&server, me("secret"), &layout, "backend", None).await.unwrap(), [Placed::Uploaded; 2]);
        for stranger in [me("guess"), None] {
            let error = push(&server, stranger, &layout, "backend", None).await.unwrap_err();
            assert!(matches!(error, OciError::Refused { status: 401, .. }), "{access:?}: {error}");
            assert!(error.advice().starts_with("Sign in"));
        }
        assert_eq!(server.uploads_refused(), 0, "nothing is uploaded before somebody is let in");
    }
    let server = Server::start(Access::Bearer).await;
    let token = Some(Credential::IdentityToken("refresh".into()));
    assert_eq!(push(&server, token, &layout, "backend", None).await.unwrap(), [Placed::Uploaded; 2]);
}

#[tokio::test]
async fn throttling_and_passing_faults_are_waited_out() {
    let server = Server::start(Access::Anybody).await;
    let folder = tempfile::tempdir().unwrap();
    let (layout, _) = build(folder.path(), b"a program");
    server.fail_next(&[429, 503, 429]);
    assert_eq!(push(&server, None, &layout, "backend", None).await.unwrap(), [Placed::Uploaded; 2]);
    server.fail_next(&[503; 5]);
    let error = push(&server, None, &layout, "backend", None).await.unwrap_err();
    assert!(matches!(error, OciError::Refused { status: 503, .. }), "{error}");
}

/// A base image with two architectures, as a registry has it.
async fn publish_base(server: &Server) -> Reference {
    let mut manifests = Vec::new();
    for architecture in [Architecture::Arm64, Architecture::Amd64] {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(folder.path()).unwrap();
        let mut layer = Layer::default();
        layer.file("etc/nginx/mime.types", false, architecture.name());
        let contents = Contents { architecture, env: vec![("NGINX_VERSION".into(), "1.29".into())], ..contents(layer) };
        let image = Image::build(&contents, None, "nginx", &layout).unwrap();
        push(server, None, &layout, "nginx", None).await.unwrap();
        let mut entry = serde_json::to_value(&image.manifest).unwrap();
        entry["platform"] = serde_json::json!({"architecture": architecture.name(), "os": "linux"});
        manifests.push(entry);
    }
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests});
    let digest = server.put_manifest("nginx", "stable", index.to_string().into_bytes());
    Reference::parse(&format!("{}/nginx@{digest}", server.address)).unwrap()
}

async fn on_base(reference: &Reference, folder: &Path) -> Result<(Layout, Image), OciError> {
    let layout = Layout::create(folder)?;
    let registry = Registry::new(reference, None)?;
    let base = Base::pull(&registry, reference, Architecture::Amd64, &layout).await?;
    let mut layer = Layer::default();
    layer.file("usr/share/nginx/html/index.html", false, *b"<html>");
    let image = Image::build(&contents(layer), Some(&base), "frontend", &layout)?;
    Ok((layout, image))
}

fn blob(folder: &Path, descriptor: &oci::Descriptor) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("blobs/sha256").join(descriptor.digest.hex())).unwrap()).unwrap()
}

#[tokio::test]
async fn an_image_on_a_base_by_digest_is_the_same_every_time() {
    let server = Server::start(Access::Anybody).await;
    let reference = publish_base(&server).await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (layout, image) = on_base(&reference, one.path()).await.unwrap();
    let (_, again) = on_base(&reference, two.path()).await.unwrap();
    assert_eq!(image.manifest.digest, again.manifest.digest);
    let blobs = layout.blobs(&image.manifest).unwrap();
    assert_eq!(blobs.len(), 3, "the base's layer, the own layer, the configuration");
    let config = blob(one.path(), &blobs[2]);
    assert_eq!(config["architecture"], "amd64");
    assert_eq!(config["config"]["Env"], serde_json::json!(["NGINX_VERSION=1.29", "PATH=/"]));
    assert_eq!(config["config"]["User"], "10001:10001");
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
    assert_eq!(config["history"].as_array().unwrap().len(), 2);
    assert_eq!(config["history"][1]["created_by"], "marea image build");
    let manifest = blob(one.path(), &image.manifest);
    let base_digest = reference.digest.as_ref().unwrap().to_string();
    assert_eq!(manifest["annotations"]["org.opencontainers.image.base.digest"], base_digest);
    assert_eq!(manifest["annotations"]["org.opencontainers.image.title"], "backend");
    // A second build in the same folder downloads nothing and leaves nothing behind.
    let downloads = server.count("GET blob");
    on_base(&reference, one.path()).await.unwrap();
    assert_eq!(server.count("GET blob"), downloads + 1, "only the base's configuration, which the image replaced");
    assert_eq!(std::fs::read_dir(one.path().join("blobs/sha256")).unwrap().count(), 4);
    // It is pushed with its base's layer mounted from where it came.
    let placed = push(&server, None, &layout, "frontend", Some("nginx")).await.unwrap();
    assert_eq!(placed, [Placed::Mounted, Placed::Uploaded, Placed::Uploaded]);
}

#[tokio::test]
async fn what_a_registry_swaps_is_noticed() {
    let server = Server::start(Access::Anybody).await;
    let reference = publish_base(&server).await;
    let folder = tempfile::tempdir().unwrap();
    server.corrupt_blobs("nginx");
    let error = on_base(&reference, folder.path()).await.unwrap_err();
    assert!(matches!(error, OciError::Digest { .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path().join("blobs/sha256")).unwrap().count(), 0, "nothing wrong is kept");
    server.corrupt_manifests("nginx");
    let error = on_base(&reference, folder.path()).await.unwrap_err();
    assert!(error.to_string().contains("manifest"), "{error}");
    let missing = Reference { repository: "missing".into(), ..reference };
    let error = on_base(&missing, folder.path()).await.unwrap_err();
    assert!(matches!(error, OciError::Refused { status: 404, .. }), "{error}");
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("precious"), "1").unwrap();
    assert!(Layout::create(folder.path()).unwrap_err().to_string().contains("other files"));
    assert!(Layout::open(folder.path()).unwrap_err().to_string().contains("no file `oci-layout`"));
    let (layout, image) = build(&folder.path().join("new"), b"a program");
    let path = folder.path().join("new/blobs/sha256").join(image.manifest.digest.hex());
    std::fs::write(path, "{}").unwrap();
    assert!(matches!(layout.blobs(&image.manifest).unwrap_err(), OciError::Digest { .. }));
}
