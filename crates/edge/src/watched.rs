//! One kind of object, kept current by a watch.

use futures::{FutureExt as _, StreamExt as _};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, Store};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Stops watching when dropped.
pub struct Watched<K>
where
    K: Resource + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    store: Store<K>,
    task: tokio::task::JoinHandle<()>,
}

impl<K> Watched<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Debug + Unpin + Send + Sync + 'static,
{
    /// Signals `changed` after every change, and once when the first list is complete.
    pub fn start(api: Api<K>, kind: K::DynamicType, changed: &Arc<Notify>) -> Watched<K> {
        let writer = reflector::store::Writer::new(kind.clone());
        let store = writer.as_reader();
        Watched { store, task: tokio::spawn(follow(api, kind, writer, changed.clone())) }
    }

    pub fn all(&self) -> Vec<Arc<K>> {
        self.store.state()
    }

    pub fn is_complete(&self) -> bool {
        self.store.wait_until_ready().now_or_never().is_some()
    }
}

impl<K> Drop for Watched<K>
where
    K: Resource + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An API server that has just started answers within the second; one that is away should not be stormed.
struct Doubling(Duration);

impl Doubling {
    const FIRST: Duration = Duration::from_millis(100);
    const LAST: Duration = Duration::from_secs(5);
}

impl Iterator for Doubling {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = self.0;
        self.0 = (now * 2).min(Self::LAST);
        Some(now)
    }
}

impl Backoff for Doubling {
    fn reset(&mut self) {
        self.0 = Self::FIRST;
    }
}

async fn follow<K>(api: Api<K>, kind: K::DynamicType, mut writer: reflector::store::Writer<K>, changed: Arc<Notify>)
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Debug + Unpin + Send + Sync + 'static,
{
    let mut events =
        std::pin::pin!(watcher::watcher(api, watcher::Config::default()).backoff(Doubling(Doubling::FIRST)));
    while let Some(event) = events.next().await {
        match event {
            Ok(mut event) => {
                if let Event::Apply(object) | Event::InitApply(object) = &mut event {
                    object.managed_fields_mut().clear();
                }
                writer.apply_watcher_event(&event);
                if !matches!(event, Event::Init | Event::InitApply(_)) {
                    changed.notify_one();
                }
            }
            // What is known stays in force: an API server that is away must not take traffic down with it.
            Err(error) => tracing::warn!(kind = %K::kind(&kind), %error, "cannot be watched for now"),
        }
    }
}
