//! Many writers and watchers at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

use super::storage::Random;
use super::*;
use crate::client::{Client, DeleteOptions, PatchKind};
use crate::settings::{ServiceRange, Settings};

const DEADLINE: Duration = Duration::from_secs(120);

async fn api() -> (Arc<Api>, Client) {
    let key = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    let settings = Settings {
        data_dir: None,
        service_range: ServiceRange::parse("10.100.0.0/16").expect("a range"),
        issuer: "https://kubernetes.default.svc".to_owned(),
        signer: Arc::new(crate::authn::tokens::Signer::from_pem(&key).expect("a signer")),
        ca_pem: "".into(),
    };
    let api = Api::open(settings).expect("it starts");
    let client = Client::new(api.clone());
    client.create_raw("namespaces", None, json!({"metadata": {"name": "a"}})).await.expect("created");
    (api, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn sixty_four_writers_lose_no_update() {
    const EACH: usize = 10;
    let (_api, client) = api().await;
    client
        .create_raw("configmaps", Some("a"), json!({"metadata": {"name": "n"}, "data": {"n": "0"}}))
        .await
        .expect("created");
    let writers: Vec<_> = (0..64)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let (mut done, mut conflicts) = (0, 0);
                while done < EACH {
                    let mut map = ConfigMap::clone(&client.get::<ConfigMap>(Some("a"), "n").expect("it is there"));
                    let count = map.data.as_mut().and_then(|data| data.get_mut("n")).expect("a count");
                    *count = (count.parse::<usize>().expect("a number") + 1).to_string();
                    tokio::task::yield_now().await;
                    match client.update(&map).await {
                        Ok(_) => done += 1,
                        Err(error) if error.is_conflict() => conflicts += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
                conflicts
            })
        })
        .collect();
    let mut conflicts = 0;
    for writer in writers {
        conflicts += tokio::time::timeout(DEADLINE, writer).await.expect("in time").expect("no panic");
    }
    let map = client.get::<ConfigMap>(Some("a"), "n").expect("it is there");
    assert_eq!(map.data.as_ref().expect("data")["n"], (64 * EACH).to_string());
    assert!(conflicts > 0, "the writers met");
}

/// What a watcher knows: each object's last version, by name.
#[derive(Default)]
struct Known {
    objects: BTreeMap<String, Arc<Value>>,
    last: u64,
}

impl Known {
    /// # Panics
    /// When the event does not follow from what is known: something was skipped, repeated or out of order.
    fn follow(&mut self, event: WatchEvent) {
        let (object, fits): (_, fn(bool) -> bool) = match event {
            WatchEvent::Added(object) => (object, |known| !known),
            WatchEvent::Modified(object) => (object, |known| known),
            WatchEvent::Deleted(ref object) => {
                let name = crate::json::name(object).to_owned();
                assert!(self.objects.remove(&name).is_some(), "{name} was not known");
                return self.advance(object);
            }
            WatchEvent::Bookmark(_) => return,
        };
        let name = crate::json::name(&object).to_owned();
        assert!(fits(self.objects.contains_key(&name)), "{name}");
        self.advance(&object);
        self.objects.insert(name, object);
    }

    fn advance(&mut self, object: &Value) {
        let version = crate::json::resource_version(object).parse().expect("a number");
        assert!(version > self.last, "{version} comes after {}", self.last);
        self.last = version;
    }
}

/// Follows until the object `end` appears, and returns what was known then. Lists again where the log is too short.
async fn follow(api: Arc<Api>, labels: &str) -> BTreeMap<String, Arc<Value>> {
    let def = api.registry().stored_by_name("configmaps").expect("a resource");
    let selector = || kube_store::selector::Selector::parse(labels, "").expect("a selector");
    'listing: loop {
        let list = ListOptions { selector: selector(), ..ListOptions::default() };
        let page = api.list(&def, Some("a"), &list).expect("a list");
        let mut known = Known { last: page.revision, ..Known::default() };
        known.objects.extend(page.items.into_iter().map(|item| (crate::json::name(&item).to_owned(), item)));
        let options = WatchOptions { selector: selector(), since: Some(page.revision), ..WatchOptions::default() };
        let Ok(mut watch) = api.watch(def.clone(), Some("a".to_owned()), options) else { continue 'listing };
        while !known.objects.contains_key("end") {
            match watch.next().await {
                Ok(event) => known.follow(event.expect("a watch without an end")),
                Err(error) if error.code() == 410 => continue 'listing,
                Err(error) => panic!("{error}"),
            }
        }
        return known.objects;
    }
}

/// Creates, relabels and deletes at random among a few names.
async fn churn(client: Client, seed: u64) {
    let mut random = Random(seed);
    for _ in 0..150 {
        let name = format!("m{}", random.below(12));
        let label = ["x", "y"][random.below(2)];
        let outcome = match random.below(3) {
            0 => {
                let map = json!({"metadata": {"name": name, "labels": {"set": label}}});
                client.create_raw("configmaps", Some("a"), map).await.map(drop)
            }
            1 => {
                let patch = json!({"metadata": {"labels": {"set": label}}, "data": {"n": random.next().to_string()}});
                client.patch_raw("configmaps", Some("a"), &name, PatchKind::Merge, &patch).await.map(drop)
            }
            _ => client.delete_raw("configmaps", Some("a"), &name, &DeleteOptions::default()).await.map(drop),
        };
        if let Err(error) = outcome {
            assert!(error.is_not_found() || error.is_already_exists(), "seed {seed}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_watch_under_churn_skips_nothing() {
    for round in 0..6 {
        let (api, client) = api().await;
        // The last object is in every one of these selections.
        let selections = ["", "set=x", "set in (x, z)", "set!=y", "set"];
        let watchers = selections.map(|labels| {
            let api = api.clone();
            tokio::spawn(async move { (labels, follow(api, labels).await) })
        });
        let writers: Vec<_> = (0..8).map(|n| tokio::spawn(churn(client.clone(), round * 100 + n))).collect();
        for writer in writers {
            tokio::time::timeout(DEADLINE, writer).await.expect("in time").expect("no panic");
        }
        let end = json!({"metadata": {"name": "end", "labels": {"set": "x"}}});
        client.create_raw("configmaps", Some("a"), end).await.expect("created");
        for watcher in watchers {
            let (labels, seen) =
                tokio::time::timeout(DEADLINE, watcher).await.expect("in time").expect("nothing is skipped");
            let selector = kube_store::selector::Selector::parse(labels, "").expect("a selector");
            let stored = client.list_raw("configmaps", Some("a")).into_iter().filter(|object| selector.matches(object));
            let stored: BTreeMap<_, _> = stored.map(|object| (crate::json::name(&object).to_owned(), object)).collect();
            assert_eq!(seen, stored, "round {round}, {labels:?}");
        }
    }
}
