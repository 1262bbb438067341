//! Watches as a stream of JSON lines.

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::Value;

use super::respond::{self, Reply};
use crate::api::{Watch, WatchEvent};

/// Events that are there at once go out together, up to about this much.
const FRAME_BYTES: usize = 64 << 10;

/// How an object of an event is shown, where it is not shown as it is.
pub type Show = Option<Box<dyn Fn(&Value) -> Value + Send + Sync>>;

fn line(into: &mut Vec<u8>, kind: &str, object: &Value) {
    into.extend_from_slice(b"{\"type\":\"");
    into.extend_from_slice(kind.as_bytes());
    into.extend_from_slice(b"\",\"object\":");
    respond::write(into, object);
    into.extend_from_slice(b"}\n");
}

fn event_line(into: &mut Vec<u8>, event: &WatchEvent, show: &Show) {
    let object: &Value = match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => object,
        WatchEvent::Bookmark(object) => object,
    };
    match show {
        Some(show) => line(into, event.kind(), &show(object)),
        None => line(into, event.kind(), object),
    }
}

pub fn body(watch: Watch, show: Show) -> Reply {
    let events = stream::unfold(Some((watch, show)), |state| async move {
        let (mut watch, show) = state?;
        let mut bytes = Vec::new();
        match watch.next().await {
            Ok(Some(event)) => {
                event_line(&mut bytes, &event, &show);
                while bytes.len() < FRAME_BYTES
                    && let Some(event) = watch.waiting()
                {
                    event_line(&mut bytes, &event, &show);
                }
                Some((Ok(Frame::data(Bytes::from(bytes))), Some((watch, show))))
            }
            Ok(None) => None,
            // The watcher is told why and lists again.
            Err(error) => {
                line(&mut bytes, "ERROR", &error.status());
                Some((Ok(Frame::data(Bytes::from(bytes))), None))
            }
        }
    });
    StreamBody::new(events).boxed_unsync()
}
