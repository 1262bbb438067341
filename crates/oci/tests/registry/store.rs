//! Images pulled, or taken from a layout, and unpacked for running.

use std::path::Path;
use std::sync::Arc;

use oci::{Architecture, Digest, Image, Layer, Layout, Limit, OciError, Reference, Registry, Store, Unpacked};
use serde_json::json;

use crate::server::{Access, Server};
use crate::{build, contents, push};

fn open(folder: &Path) -> Arc<Store> {
    Arc::new(Store::open(&folder.join("store"), Limit::default()).unwrap())
}

async fn pull(store: &Arc<Store>, reference: &Reference) -> Result<Unpacked, OciError> {
    store.pull(&Registry::new(reference, None)?, reference, Architecture::Amd64).await
}

fn reference(server: &Server, rest: &str) -> Reference {
    Reference::parse(&format!("{}/{rest}", server.address)).unwrap()
}

/// How many images and unfinished folders there are.
fn folders(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("store/images")).unwrap().count()
}

#[tokio::test]
async fn an_image_is_pulled_and_unpacked_once() {
    let server = Server::start(Access::Anybody).await;
    let folder = tempfile::tempdir().unwrap();
    let (layout, image) = build(&folder.path().join("layout"), b"a program");
    push(&server, None, &layout, "team/backend", None).await.unwrap();
    let store = open(folder.path());
    let tagged = reference(&server, "team/backend:1");
    assert_eq!(store.present(&tagged), None);
    let found = pull(&store, &tagged).await.unwrap();
    assert_eq!(found.id, format!("{}/team/backend@{}", server.address, image.manifest.digest));
    assert_eq!(found.size, image.size - image.manifest.size);
    assert_eq!(std::fs::read(found.root.join("marea-backend")).unwrap(), b"a program");
    assert_eq!(
        (found.run.entrypoint.as_slice(), found.run.stop_signal.as_str()),
        (&["/marea-backend".to_owned()][..], "SIGTERM")
    );
    assert_eq!(found.user(&found.run.user), Ok((10001, Some(10001))));
    let blobs = server.count("GET blob");
    assert_eq!(pull(&store, &tagged).await.unwrap(), found);
    assert_eq!(server.count("GET blob"), blobs, "its manifest says that nothing changed");
    // Another process finds it, and what the one before it left half done is gone.
    drop(store);
    std::fs::create_dir(folder.path().join("store/images/.new-1")).unwrap();
    let store = open(folder.path());
    assert_eq!(store.present(&tagged), Some(found.clone()));
    assert_eq!(folders(folder.path()), 1);
    let pinned = reference(&server, &format!("team/backend@{}", image.manifest.digest));
    assert_eq!(pull(&store, &pinned).await.unwrap(), found);
}

#[tokio::test]
async fn a_tag_that_moves_is_another_image_at_the_next_pull() {
    let server = Server::start(Access::Anybody).await;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let tagged = reference(&server, "backend:1");
    let mut roots = Vec::new();
    for program in [&b"one"[..], b"two"] {
        let (layout, _) = build(&folder.path().join("layout"), program);
        push(&server, None, &layout, "backend", None).await.unwrap();
        let found = pull(&store, &tagged).await.unwrap();
        assert_eq!(std::fs::read(found.root.join("marea-backend")).unwrap(), program);
        assert_eq!(store.present(&tagged).as_ref(), Some(&found));
        roots.push(found.root);
    }
    assert!(roots[0].exists() && roots[0] != roots[1], "what runs from the old one goes on");
}

#[tokio::test]
async fn what_is_not_what_it_should_be_is_not_kept() {
    let server = Server::start(Access::Anybody).await;
    let folder = tempfile::tempdir().unwrap();
    let (layout, image) = build(&folder.path().join("layout"), b"a program");
    push(&server, None, &layout, "backend", None).await.unwrap();
    let store = open(folder.path());
    server.corrupt_blobs("backend");
    let error = pull(&store, &reference(&server, "backend:1")).await.unwrap_err();
    assert!(matches!(error, OciError::Digest { .. }), "{error}");
    server.corrupt_manifests("backend");
    let pinned = reference(&server, &format!("backend@{}", image.manifest.digest));
    let error = pull(&store, &pinned).await.unwrap_err();
    assert!(error.to_string().contains("manifest"), "{error}");
    assert_eq!(folders(folder.path()), 0);
    assert_eq!(store.present(&pinned), None);
    let error = pull(&store, &reference(&server, "nothing:1")).await.unwrap_err();
    assert!(matches!(error, OciError::Refused { status: 404, .. }), "{error}");
}

#[tokio::test]
async fn an_image_too_large_is_not_downloaded() {
    let server = Server::start(Access::Anybody).await;
    let folder = tempfile::tempdir().unwrap();
    let (layout, _) = build(&folder.path().join("layout"), b"a program");
    push(&server, None, &layout, "backend", None).await.unwrap();
    let store = Arc::new(Store::open(&folder.path().join("store"), Limit { bytes: 100, entries: 10 }).unwrap());
    let error = pull(&store, &reference(&server, "backend:1")).await.unwrap_err();
    assert!(error.to_string().contains("100 are unpacked"), "{error}");
    assert_eq!(server.count("GET blob"), 0);
}

#[tokio::test]
async fn an_index_leads_to_the_image_of_this_architecture() {
    let server = Server::start(Access::Anybody).await;
    let folder = tempfile::tempdir().unwrap();
    let (layout, image) = build(&folder.path().join("layout"), b"a program");
    push(&server, None, &layout, "backend", None).await.unwrap();
    let of = |architecture: &str, digest: &Digest| {
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1,
               "platform": {"architecture": architecture, "os": "linux"}})
    };
    let index =
        json!({"schemaVersion": 2, "manifests": [of("arm64", &Digest::of(b"")), of("amd64", &image.manifest.digest)]});
    let digest = server.put_manifest("backend", "many", index.to_string().into_bytes());
    let store = open(folder.path());
    let found = pull(&store, &reference(&server, "backend:many")).await.unwrap();
    assert_eq!(found.id, format!("{}/backend@{digest}", server.address));
    let foreign = json!({"schemaVersion": 2, "manifests": [of("s390x", &image.manifest.digest)]});
    server.put_manifest("backend", "foreign", foreign.to_string().into_bytes());
    let error = pull(&store, &reference(&server, "backend:foreign")).await.unwrap_err();
    assert!(matches!(error, OciError::Platform { .. }), "{error}");
}

#[tokio::test]
async fn a_layout_is_taken_as_it_is_now() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("layout");
    let store = open(folder.path());
    let tagged = Reference::parse("marea.azurecr.io/backend:0.1.0").unwrap();
    for program in [&b"one"[..], b"two"] {
        let (_, image) = build(&place, program);
        let found = store.import(&place, &tagged, Architecture::Amd64).await.unwrap();
        assert_eq!(found.id, format!("marea.azurecr.io/backend@{}", image.manifest.digest));
        assert_eq!(std::fs::read(found.root.join("marea-backend")).unwrap(), program);
    }
    let wrong = Reference { digest: Some(Digest::of(b"another")), ..tagged.clone() };
    let error = store.import(&place, &wrong, Architecture::Amd64).await.unwrap_err();
    assert!(matches!(error, OciError::Digest { .. }), "{error}");
    let error = store.import(folder.path(), &tagged, Architecture::Amd64).await.unwrap_err();
    assert!(matches!(error, OciError::Layout { .. }), "{error}");

    // Of several images the one that bears the tag.
    let index = |name: &str, digest: &str| {
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1,
               "annotations": {"org.opencontainers.image.ref.name": name}})
    };
    let own = Layout::open(&place).unwrap().manifest().unwrap();
    let other = Digest::of(b"nothing").to_string();
    let several =
        json!({"schemaVersion": 2, "manifests": [index("0.0.9", &other), index("0.1.0", &own.digest.to_string())]});
    std::fs::write(place.join("index.json"), several.to_string()).unwrap();
    let found = store.import(&place, &tagged, Architecture::Amd64).await.unwrap();
    assert!(found.id.ends_with(&own.digest.to_string()));
    let missing = Reference { tag: Some("9".into()), ..tagged };
    let error = store.import(&place, &missing, Architecture::Amd64).await.unwrap_err();
    assert!(error.to_string().contains("none of the 2 images"), "{error}");
}

/// Ten replicas that start at once want one image.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_get_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut layer = Layer::default();
    layer.file("data", false, crate::noise(1 << 20));
    let place = folder.path().join("layout");
    Image::build(&contents(layer), None, "backend", &Layout::create(&place).unwrap()).unwrap();
    let store = open(folder.path());
    let tagged = Reference::parse("marea.azurecr.io/backend:0.1.0").unwrap();
    let mut imports = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (store, place, tagged) = (Arc::clone(&store), place.clone(), tagged.clone());
        imports.spawn(async move { store.import(&place, &tagged, Architecture::Amd64).await.unwrap() });
    }
    let found = imports.join_all().await;
    assert!(found.iter().all(|one| *one == found[0]));
    assert_eq!(folders(folder.path()), 1);
}
