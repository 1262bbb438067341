//! As much of SPDY/3.1 as kubectl's port-forward tunnel uses: streams with headers, data, half-close, reset, ping.
//!
//! Flow control is left out on purpose: the peer (moby/spdystream) neither sends nor honours window updates.

mod frame;
mod headers;

pub(super) use frame::{Frame, FrameError, FrameReader, encode};
pub(super) use headers::{HeaderReader, HeaderWriter};
