//! Watching a resource: changes in order, seen through a selector, with bookmarks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch as signal;
use tokio::time::Instant;

use kube_store::selector::Selector;
use kube_store::store::{Change, ChangeKind};

use super::transaction::store_error;
use super::{Api, ListOptions};
use crate::error::ApiError;
use crate::registry::ResourceDef;

/// As the genuine server: about once a minute, so that a quiet watcher's position stays within the log.
const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct WatchOptions {
    pub selector: Selector,
    /// `None` or 0: start with what exists now.
    pub since: Option<u64>,
    pub bookmarks: bool,
    /// Start with what exists now, then a bookmark that says so.
    pub send_initial_events: bool,
    pub timeout: Option<Duration>,
}

#[derive(Clone, Debug)]
pub enum WatchEvent {
    Added(Arc<Value>),
    Modified(Arc<Value>),
    Deleted(Arc<Value>),
    Bookmark(Value),
}

impl WatchEvent {
    pub fn kind(&self) -> &'static str {
        match self {
            WatchEvent::Added(_) => "ADDED",
            WatchEvent::Modified(_) => "MODIFIED",
            WatchEvent::Deleted(_) => "DELETED",
            WatchEvent::Bookmark(_) => "BOOKMARK",
        }
    }
}

pub struct Watch {
    api: Arc<Api>,
    def: Arc<ResourceDef>,
    namespace: Option<String>,
    options: WatchOptions,
    position: u64,
    published: signal::Receiver<u64>,
    queue: VecDeque<WatchEvent>,
    deadline: Option<Instant>,
    next_bookmark: Instant,
}

impl Api {
    /// # Errors
    /// 400 for a bad selector, 410 when `since` is older than the log.
    pub fn watch(
        self: &Arc<Api>,
        def: Arc<ResourceDef>,
        namespace: Option<String>,
        options: WatchOptions,
    ) -> Result<Watch, ApiError> {
        options
            .selector
            .fields
            .check_supported(&def.resource)
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
        let mut published = self.published.subscribe();
        published.mark_unchanged();
        let mut watch = Watch {
            api: self.clone(),
            namespace,
            position: 0,
            published,
            queue: VecDeque::new(),
            deadline: options.timeout.map(|timeout| Instant::now() + timeout),
            next_bookmark: Instant::now() + BOOKMARK_PERIOD,
            def,
            options,
        };
        match watch.options.since {
            Some(since) if since > 0 && !watch.options.send_initial_events => {
                watch.position = since;
                watch.read_log()?;
            }
            _ => watch.start_with_list()?,
        }
        Ok(watch)
    }
}

impl Watch {
    fn start_with_list(&mut self) -> Result<(), ApiError> {
        let list = ListOptions { selector: self.options.selector.clone(), ..ListOptions::default() };
        let page = self.api.list(&self.def, self.namespace.as_deref(), &list)?;
        self.position = page.revision;
        self.queue.extend(page.items.into_iter().map(WatchEvent::Added));
        if self.options.send_initial_events && self.options.bookmarks {
            let mut bookmark = self.bookmark();
            bookmark["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
            self.queue.push_back(WatchEvent::Bookmark(bookmark));
        }
        Ok(())
    }

    fn bookmark(&self) -> Value {
        json!({"kind": self.def.kind, "apiVersion": self.def.api_version(),
            "metadata": {"resourceVersion": self.position.to_string(), "creationTimestamp": null}})
    }

    fn read_log(&mut self) -> Result<(), ApiError> {
        let published = self.api.published();
        let changes = {
            let store = self.api.store.lock();
            store.changes_since(&self.def.resource, self.namespace.as_deref(), self.position).map_err(store_error)?
        };
        for change in changes.into_iter().filter(|change| change.revision <= published) {
            if let Some(event) = self.seen(change) {
                self.queue.push_back(event);
            }
        }
        self.position = self.position.max(published);
        Ok(())
    }

    /// A change as a watcher with this selector sees it: leaving the selection is a deletion, entering it an addition.
    fn seen(&self, change: Change) -> Option<WatchEvent> {
        let selector = &self.options.selector;
        let before = change.previous.as_ref().is_some_and(|previous| selector.matches(previous));
        let after = change.kind != ChangeKind::Deleted && selector.matches(&change.object);
        let object = || self.api.in_version(&self.def, change.object.clone());
        match (before, after) {
            (false, true) => Some(WatchEvent::Added(object())),
            (true, true) => Some(WatchEvent::Modified(object())),
            (true, false) => Some(WatchEvent::Deleted(object())),
            (false, false) => None,
        }
    }

    /// An event that is there already.
    pub fn waiting(&mut self) -> Option<WatchEvent> {
        self.queue.pop_front()
    }

    /// The next event; `None` when the watch's time is over.
    ///
    /// # Errors
    /// 410 when the watcher fell behind the log.
    pub async fn next(&mut self) -> Result<Option<WatchEvent>, ApiError> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Ok(Some(event));
            }
            let deadline = self.deadline;
            tokio::select! {
                changed = self.published.changed() => {
                    if changed.is_err() {
                        return Ok(None);
                    }
                    self.published.mark_unchanged();
                    self.read_log()?;
                }
                () = tokio::time::sleep_until(self.next_bookmark) => {
                    self.next_bookmark = Instant::now() + BOOKMARK_PERIOD;
                    if self.options.bookmarks {
                        return Ok(Some(WatchEvent::Bookmark(self.bookmark())));
                    }
                }
                () = async { match deadline { Some(at) => tokio::time::sleep_until(at).await, None => std::future::pending().await } } => {
                    return Ok(None);
                }
            }
        }
    }
}
