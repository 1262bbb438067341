use std::path::Path;

use kube_store::store::{Precondition, Store};
use serde_json::json;

use super::*;
use crate::api::Api;
use crate::api::storage::{FaultyStorage, Random};
use crate::client::Client;
use crate::settings::{ServiceRange, Settings};

const SEEDS: u64 = 1000;
const COMMITS: usize = 8;

/// A disk over this storage, with a key that outlives it.
fn disk(storage: &FaultyStorage, dir: &Path) -> Result<Disk, ApiError> {
    let storage = storage.clone();
    let open = move || Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(storage.clone());
    Disk::over(Box::new(open), dir.join(FILE), Vault::read(dir)?)
}

type Objects = BTreeMap<ObjectKey, Arc<Value>>;

fn rows(restored: Restored) -> Objects {
    restored.objects.into_iter().collect()
}

/// Some changes as a transaction makes them, on the store and on a copy of what is durable.
fn changes(random: &mut Random, store: &mut Store, rows: &mut Objects) -> Vec<Change> {
    let resources = ["configmaps", SECRETS];
    let mut changes = Vec::new();
    for _ in 0..1 + random.below(4) {
        let key = ObjectKey::new(resources[random.below(2)], Some("a"), &format!("o{}", random.below(6)));
        if random.below(4) == 0 && rows.remove(&key).is_some() {
            changes.push(store.delete(&key, Precondition::None).expect("it is there"));
            continue;
        }
        let value = "x".repeat(1 << random.below(12));
        let object = json!({"kind": "T", "metadata": {"name": &*key.name}, "data": {"v": value}, "n": random.next()});
        let change = store.put(key.clone(), object, Precondition::None).expect("no precondition");
        rows.insert(key, change.object.clone());
        changes.push(change);
    }
    changes
}

/// Commits until the power is cut, with a full disk and failing syncs on the way, and opens what is left.
fn survive(seed: u64, image: &[u8], dir: &Path) {
    let random = &mut Random(seed);
    let storage = FaultyStorage::holding(image.to_vec());
    let mut opened = disk(&storage, dir).expect("it opens");
    let mut durable = rows(opened.load(0).expect("it loads"));
    storage.cut_power_after(random.next() % 110);
    let mut store = Store::restore(durable.clone(), 10_000);
    // What the commits that failed may have left, one upon the other.
    let mut possible = vec![];
    for _ in 0..COMMITS {
        match random.below(8) {
            0 => storage.fill(),
            1 => storage.fail_syncs(1),
            _ => storage.limit(None),
        }
        let mut after = durable.clone();
        let changes = changes(random, &mut store, &mut after);
        if opened.commit(&changes.iter().collect::<Vec<_>>()).is_ok() {
            (durable, possible) = (after, vec![]);
        } else {
            possible.push(after);
            store = Store::restore(durable.clone(), store.revision());
        }
    }
    let left = storage.after_power_loss(random);
    let mut opened = disk(&left, dir).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let found = rows(opened.load(0).unwrap_or_else(|error| panic!("seed {seed}: {error}")));
    assert!(
        found == durable || possible.contains(&found),
        "seed {seed}: neither what was acknowledged nor that with a whole commit more: {:?} instead of {:?}",
        found.keys().collect::<Vec<_>>(),
        durable.keys().collect::<Vec<_>>()
    );
    let change = Store::restore(found, 20_000).put(ObjectKey::new("t", None, "n"), json!({}), Precondition::None);
    opened.commit(&[&change.expect("put")]).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_is_cut() {
    let dir = tempfile::tempdir().expect("a directory");
    let storage = FaultyStorage::default();
    disk(&storage, dir.path()).expect("it opens").load(0).expect("it loads");
    let image = storage.durable();
    std::thread::scope(|scope| {
        for part in 0..2 {
            let (image, dir) = (&image, dir.path());
            scope.spawn(move || (part..SEEDS).step_by(2).for_each(|seed| survive(seed, image, dir)));
        }
    });
}

#[test]
fn a_failed_commit_leaves_nothing_behind_once_the_disk_works_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let storage = FaultyStorage::default();
    let mut opened = disk(&storage, dir.path()).expect("it opens");
    opened.load(0).expect("it loads");
    let mut store = Store::new(1);
    let key = |name: &str| ObjectKey::new("configmaps", Some("a"), name);
    let first = store.put(key("kept"), json!({"v": 1}), Precondition::None).expect("put");
    opened.commit(&[&first]).expect("stored");
    storage.fail_syncs(1);
    let changed = store.put(key("kept"), json!({"v": 2}), Precondition::None).expect("put");
    let new = store.put(key("new"), json!({"v": 3}), Precondition::None).expect("put");
    let refused = opened.commit(&[&changed, &new]).expect_err("it does not sync");
    assert_eq!(refused.code(), 500);
    let later = store.put(key("later"), json!({"v": 4}), Precondition::None).expect("put");
    opened.commit(&[&later]).expect("stored");
    drop(opened);
    let found = rows(disk(&storage, dir.path()).expect("it opens").load(0).expect("it loads"));
    let names: Vec<&str> = found.keys().map(|key| &*key.name).collect();
    assert_eq!((names, &found[&key("kept")]["v"]), (vec!["kept", "later"], &json!(1)));
}

/// The same on demand: refused in the same words, and over as soon as somebody says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_can_be_said_to_be_full() {
    let dir = tempfile::tempdir().expect("a directory");
    let api = Api::open(settings(Some(dir.path()))).expect("it starts");
    let client = Client::new(api.clone());
    client.create_raw("namespaces", None, json!({"metadata": {"name": "a"}})).await.expect("created");
    api.fill_disk(true);
    let error = client.create_raw("configmaps", Some("a"), map("refused", 10)).await.expect_err("full");
    assert_eq!((error.code(), error.reason()), (507, "InsufficientStorage"), "{error}");
    assert!(client.get_raw("configmaps", Some("a"), "refused").is_none());
    api.fill_disk(false);
    client.create_raw("configmaps", Some("a"), map("after", 10)).await.expect("there is room again");
    api.close().await;
    drop(client);
    let found = rows(Disk::open(dir.path()).expect("it opens").load(0).expect("it loads"));
    let maps: Vec<&str> = found.keys().filter(|key| &*key.resource == "configmaps").map(|key| &*key.name).collect();
    assert_eq!(maps, ["after"]);
}

fn settings(dir: Option<&Path>) -> Settings {
    let key = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    Settings {
        data_dir: dir.map(Path::to_owned),
        service_range: ServiceRange::parse("10.100.0.0/16").expect("a range"),
        issuer: "https://kubernetes.default.svc".to_owned(),
        signer: Arc::new(crate::authn::tokens::Signer::from_pem(&key).expect("a signer")),
        ca_pem: "".into(),
    }
}

fn map(name: &str, bytes: usize) -> Value {
    json!({"metadata": {"name": name}, "data": {"v": "x".repeat(bytes)}})
}

/// Differs (Kubernetes API): A full disk is answered with 507 until there is room; upstream raises an alarm in etcd that
/// somebody has to clear.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writers_serves_readers_and_ends_with_the_shortage() {
    let dir = tempfile::tempdir().expect("a directory");
    let storage = FaultyStorage::default();
    let api = Api::on(settings(None), Some(disk(&storage, dir.path()).expect("it opens"))).expect("it starts");
    let client = Client::new(api.clone());
    client.create_raw("namespaces", None, json!({"metadata": {"name": "a"}})).await.expect("created");
    client.create_raw("configmaps", Some("a"), map("before", 10)).await.expect("created");
    storage.fill();
    let mut refused = None;
    for number in 0..200 {
        match client.create_raw("configmaps", Some("a"), map(&format!("m{number}"), 100_000)).await {
            Ok(_) => {}
            Err(error) => {
                refused = Some((number, error));
                break;
            }
        }
    }
    let (number, error) = refused.expect("the disk is full at last");
    assert_eq!((error.code(), error.reason()), (507, "InsufficientStorage"), "{error}");
    assert!(error.message().contains("Nothing that was stored before is lost; free some space"), "{error}");
    let again = client.create_raw("configmaps", Some("a"), map("again", 100_000)).await.expect_err("still full");
    assert_eq!(again.code(), 507, "{again}");
    let def = api.registry().stored_by_name("configmaps").expect("a resource");
    let listed = api.list(&def, Some("a"), &crate::api::ListOptions::default()).expect("reads go on");
    assert_eq!(listed.items.len(), number + 1, "what was refused is not shown");
    assert!(client.get_raw("configmaps", Some("a"), "before").is_some());
    let watch = crate::api::WatchOptions { since: Some(listed.revision), ..Default::default() };
    let mut watch = api.watch(def.clone(), None, watch).expect("watches go on");
    storage.limit(None);
    client.create_raw("configmaps", Some("a"), map("after", 100_000)).await.expect("there is space again");
    let event = watch.next().await.expect("no error").expect("an event");
    assert_eq!(event.kind(), "ADDED");
    api.close().await;
    drop((client, watch));
    let mut reopened = disk(&storage, dir.path()).expect("it opens");
    let found = rows(reopened.load(0).expect("it loads"));
    assert_eq!(found.keys().filter(|key| &*key.resource == "configmaps").count(), number + 2);
}

/// Differs (Kubernetes API): resourceVersions start at a number made of the clock in each run, so that a restored copy
/// never repeats those of another run; etcd goes on counting.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_run_is_a_new_epoch_for_watchers() {
    let dir = tempfile::tempdir().expect("a directory");
    let start = || Api::open(settings(Some(dir.path()))).expect("it starts");
    let first = start();
    Client::new(first.clone())
        .create_raw("namespaces", None, json!({"metadata": {"name": "a"}}))
        .await
        .expect("created");
    let seen = first.published();
    first.close().await;
    drop(first);
    let second = start();
    assert!(second.published() > seen && second.published() < 1 << 53, "{}", second.published());
    let def = second.registry().stored_by_name("namespaces").expect("a resource");
    for since in [seen, second.published() + 1] {
        let options = crate::api::WatchOptions { since: Some(since), ..Default::default() };
        let refused = second.watch(def.clone(), None, options).err().expect("another epoch");
        assert_eq!(refused.code(), 410, "{refused}");
    }
    second.close().await;
}

/// Every byte of every file below, to look for what must not be there.
fn raw(dir: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| std::fs::read(path).expect("a file")).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_holds_no_secret_in_the_clear() {
    let dir = tempfile::tempdir().expect("a directory");
    let api = Api::open(settings(Some(dir.path()))).expect("it starts");
    let client = Client::new(api.clone());
    client.create_raw("namespaces", None, json!({"metadata": {"name": "a"}})).await.expect("created");
    let (canary, encoded) = ("canary-7f3a91", "Y2FuYXJ5LTdmM2E5MQ==");
    let secret =
        json!({"metadata": {"name": "s", "annotations": {"note": canary}}, "stringData": {"password": canary}});
    client.create_raw("secrets", Some("a"), secret).await.expect("created");
    client
        .create_raw("configmaps", Some("a"), json!({"metadata": {"name": "c"}, "data": {"v": "plain-51d0"}}))
        .await
        .expect("created");
    api.close().await;
    drop((client, api));
    let bytes = raw(dir.path());
    assert!(holds(&bytes, "plain-51d0"), "the search finds what is in the clear");
    assert!(!holds(&bytes, canary) && !holds(&bytes, encoded));
    let api = Api::open(settings(Some(dir.path()))).expect("it starts again");
    let kept = api.cache().get("secrets", Some("a"), "s").expect("kept");
    assert_eq!(kept["data"]["password"], encoded);
    api.close().await;
    drop(api);
    std::fs::remove_file(vault::path(dir.path())).expect("a key");
    let refused = Api::open(settings(Some(dir.path()))).err().expect("no key").to_string();
    assert!(refused.contains("secrets/a/s is encrypted, and its key is not there: bring back"), "{refused}");
    assert!(!vault::path(dir.path()).exists(), "no other key is made in its place");
}
