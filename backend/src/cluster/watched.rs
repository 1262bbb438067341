//! One kind of object, kept current by a watch.

use backend_api::cluster::Gap;
use futures::StreamExt as _;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, Store};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// What the sources tell the publisher.
#[derive(Default)]
pub struct Signals {
    pub changed: Notify,
    gaps: Mutex<BTreeMap<&'static str, String>>,
}

impl Signals {
    /// Notes why a part cannot be read, or that it can be again.
    pub fn report(&self, part: &'static str, problem: Option<String>) {
        let mut gaps = self.gaps.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = match problem {
            Some(reason) => gaps.insert(part, reason),
            None => gaps.remove(part),
        };
        if before.as_ref() != gaps.get(part) {
            self.changed.notify_one();
        }
    }

    pub fn gaps(&self) -> Vec<Gap> {
        let gaps = self.gaps.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        gaps.iter().map(|(part, reason)| Gap { part: (*part).to_owned(), reason: reason.clone() }).collect()
    }

    fn has_gap(&self, part: &str) -> bool {
        self.gaps.lock().unwrap_or_else(std::sync::PoisonError::into_inner).contains_key(part)
    }
}

pub struct Watched<K: reflector::Lookup<DynamicType = ()> + Clone + 'static> {
    part: &'static str,
    store: Store<K>,
    signals: Arc<Signals>,
    task: tokio::task::JoinHandle<()>,
}

impl<K> Watched<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    pub fn start(part: &'static str, api: Api<K>, signals: &Arc<Signals>) -> Watched<K> {
        let (store, writer) = reflector::store();
        let task = tokio::spawn(follow(part, api, writer, signals.clone()));
        Watched { part, store, signals: signals.clone(), task }
    }

    pub fn all(&self) -> Vec<Arc<K>> {
        self.store.state()
    }

    /// The first list is complete, or it is known that it cannot be had for now.
    pub fn is_settled(&self) -> bool {
        use futures::FutureExt as _;
        self.store.wait_until_ready().now_or_never().is_some() || self.signals.has_gap(self.part)
    }
}

impl<K: reflector::Lookup<DynamicType = ()> + Clone + 'static> Drop for Watched<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An API server that has just started answers within the second; one that is away should not be stormed.
struct Doubling(Duration);

impl Doubling {
    const FIRST: Duration = Duration::from_millis(200);
    const LAST: Duration = Duration::from_secs(5);
}

impl Default for Doubling {
    fn default() -> Doubling {
        Doubling(Self::FIRST)
    }
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

async fn follow<K>(part: &'static str, api: Api<K>, mut writer: reflector::store::Writer<K>, signals: Arc<Signals>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let mut events = std::pin::pin!(watcher::watcher(api, watcher::Config::default()).backoff(Doubling::default()));
    while let Some(event) = events.next().await {
        match event {
            Ok(mut event) => {
                if let Event::Apply(object) | Event::InitApply(object) = &mut event {
                    // Half of an object's size, and nobody here reads them.
                    object.managed_fields_mut().clear();
                }
                writer.apply_watcher_event(&event);
                signals.report(part, None);
                if !matches!(event, Event::Init | Event::InitApply(_)) {
                    signals.changed.notify_one();
                }
            }
            Err(error) => {
                tracing::warn!(part, %error, "cannot be watched for now");
                signals.report(part, Some(reason(&error)));
            }
        }
    }
}

/// Safe to show: the API server's own message, or that it cannot be reached.
fn reason(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => client_reason(error),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => "the API server's list has no version".to_owned(),
    }
}

pub fn client_reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        _ => "the API server cannot be reached".to_owned(),
    }
}
