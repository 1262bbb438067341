//! Bodies that pass through, and the few that are made here.

use super::upstream::Connection;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// What goes to a pod.
#[derive(Default)]
pub enum RequestBody {
    #[default]
    Empty,
    /// Read completely before it was sent, so that it can be sent again.
    Buffered(Full<Bytes>),
    Streaming(Incoming),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Buffered(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
            RequestBody::Streaming(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Buffered(body) => body.is_end_stream(),
            RequestBody::Streaming(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Buffered(body) => body.size_hint(),
            RequestBody::Streaming(body) => body.size_hint(),
        }
    }
}

/// What goes back to the client.
pub enum ResponseBody {
    Own(Full<Bytes>),
    /// From a pod, with the connection that carries it; the connection is free again when the body has ended.
    Passed {
        body: Incoming,
        connection: Option<Connection>,
    },
}

impl ResponseBody {
    pub fn text(text: impl Into<Bytes>) -> ResponseBody {
        ResponseBody::Own(Full::new(text.into()))
    }

    /// The body of a pod's response. The connection of a response without one is free at once.
    pub fn passed(body: Incoming, connection: Connection) -> ResponseBody {
        let connection = match body.is_end_stream() {
            true => {
                connection.release();
                None
            }
            false => Some(connection),
        };
        ResponseBody::Passed { body, connection }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            ResponseBody::Own(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
            ResponseBody::Passed { body, connection } => {
                let mut polled = Pin::new(&mut *body).poll_frame(cx);
                if polled.is_pending()
                    && let Some(connection) = connection
                {
                    connection.carry(cx);
                    polled = Pin::new(&mut *body).poll_frame(cx);
                }
                let ended = matches!(polled, Poll::Ready(None))
                    || (matches!(polled, Poll::Ready(Some(Ok(_)))) && body.is_end_stream());
                if ended && let Some(connection) = connection.take() {
                    connection.release();
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Own(body) => body.is_end_stream(),
            ResponseBody::Passed { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Own(body) => body.size_hint(),
            ResponseBody::Passed { body, .. } => body.size_hint(),
        }
    }
}
