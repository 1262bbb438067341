//! Watches as a stream of JSON lines.

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};

use super::respond::Reply;
use crate::api::{Watch, WatchEvent};

/// How an object of an event is shown.
pub type Show = Box<dyn Fn(&Value) -> Value + Send + Sync>;

fn line(kind: &str, object: &Value) -> Bytes {
    format!("{}\n", json!({"type": kind, "object": object})).into()
}

fn event_line(event: &WatchEvent, show: &Show) -> Bytes {
    match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
            line(event.kind(), &show(object))
        }
        WatchEvent::Bookmark(object) => line(event.kind(), &show(object)),
    }
}

pub fn body(watch: Watch, show: Show) -> Reply {
    let events = stream::unfold(Some((watch, show)), |state| async move {
        let (mut watch, show) = state?;
        match watch.next().await {
            Ok(Some(event)) => {
                let bytes = event_line(&event, &show);
                Some((Ok(Frame::data(bytes)), Some((watch, show))))
            }
            Ok(None) => None,
            // The watcher is told why and lists again.
            Err(error) => Some((Ok(Frame::data(line("ERROR", &error.status()))), None)),
        }
    });
    StreamBody::new(events).boxed_unsync()
}
