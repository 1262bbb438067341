//! Frames on the wire: eight bytes of head, then at most 16 MiB of payload.

use bytes::{Buf, BufMut, Bytes, BytesMut};

const VERSION: u16 = 3;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEAD_BYTES: usize = 8;
/// Clients send 32 KiB at once; the protocol's own limit would let one frame take all memory.
const MAX_PAYLOAD_BYTES: usize = 1 << 20;
const FLAG_FIN: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Frame {
    /// `headers` is still compressed: only the connection's one decompressor can read it.
    SynStream {
        stream: u32,
        fin: bool,
        headers: Bytes,
    },
    SynReply {
        stream: u32,
        headers: Bytes,
    },
    Data {
        stream: u32,
        fin: bool,
        payload: Bytes,
    },
    Reset {
        stream: u32,
        status: u32,
    },
    Ping {
        id: u32,
    },
    GoAway,
    /// Settings, header blocks and window updates, which mean nothing here.
    Other,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(in super::super) enum FrameError {
    #[error("a frame of {0} bytes is larger than is accepted")]
    TooLarge(usize),
    #[error("SPDY version {0} is not spoken here")]
    Version(u16),
    #[error("a frame of type {0} is too short")]
    Short(u16),
    #[error("a header block cannot be read: {0}")]
    Headers(String),
}

/// Cuts the byte stream into frames, however its chunks fall.
#[derive(Default)]
pub(in super::super) struct FrameReader {
    buffer: BytesMut,
}

impl FrameReader {
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, or `None` until more bytes come.
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.buffer.len() < HEAD_BYTES {
            return Ok(None);
        }
        let head = &self.buffer[..HEAD_BYTES];
        let first = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let flags = head[4];
        let length = usize::from(head[5]) << 16 | usize::from(head[6]) << 8 | usize::from(head[7]);
        if length > MAX_PAYLOAD_BYTES {
            return Err(FrameError::TooLarge(length));
        }
        if self.buffer.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(HEAD_BYTES);
        let payload = self.buffer.split_to(length).freeze();
        let fin = flags & FLAG_FIN != 0;
        if first & 0x8000_0000 == 0 {
            return Ok(Some(Frame::Data { stream: first, fin, payload }));
        }
        let version = (first >> 16) as u16 & 0x7fff;
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        control(first as u16, fin, payload).map(Some)
    }
}

fn control(kind: u16, fin: bool, mut payload: Bytes) -> Result<Frame, FrameError> {
    let needed = match kind {
        SYN_STREAM => 10,
        RST_STREAM => 8,
        SYN_REPLY | PING => 4,
        _ => 0,
    };
    if payload.len() < needed {
        return Err(FrameError::Short(kind));
    }
    Ok(match kind {
        SYN_STREAM => {
            let stream = payload.get_u32() & 0x7fff_ffff;
            // Associated stream, priority and credential slot say nothing here.
            payload.advance(6);
            Frame::SynStream { stream, fin, headers: payload }
        }
        SYN_REPLY => Frame::SynReply { stream: payload.get_u32() & 0x7fff_ffff, headers: payload },
        RST_STREAM => Frame::Reset { stream: payload.get_u32() & 0x7fff_ffff, status: payload.get_u32() },
        PING => Frame::Ping { id: payload.get_u32() },
        GOAWAY => Frame::GoAway,
        _ => Frame::Other,
    })
}

/// A frame as bytes. `Other` has none: it is only ever received.
pub(in super::super) fn encode(frame: &Frame) -> Bytes {
    let mut out = BytesMut::new();
    match frame {
        Frame::SynStream { stream, fin, headers } => {
            head(&mut out, SYN_STREAM, *fin, 10 + headers.len());
            out.put_u32(*stream);
            out.put_u32(0);
            out.put_u16(0);
            out.put_slice(headers);
        }
        Frame::SynReply { stream, headers } => {
            head(&mut out, SYN_REPLY, false, 4 + headers.len());
            out.put_u32(*stream);
            out.put_slice(headers);
        }
        Frame::Data { stream, fin, payload } => {
            out.put_u32(*stream);
            put_length(&mut out, *fin, payload.len());
            out.put_slice(payload);
        }
        Frame::Reset { stream, status } => {
            head(&mut out, RST_STREAM, false, 8);
            out.put_u32(*stream);
            out.put_u32(*status);
        }
        Frame::Ping { id } => {
            head(&mut out, PING, false, 4);
            out.put_u32(*id);
        }
        Frame::GoAway => {
            head(&mut out, GOAWAY, false, 8);
            out.put_u64(0);
        }
        Frame::Other => {}
    }
    out.freeze()
}

fn head(out: &mut BytesMut, kind: u16, fin: bool, length: usize) {
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    put_length(out, fin, length);
}

fn put_length(out: &mut BytesMut, fin: bool, length: usize) {
    // Frames are made from chunks of 32 KiB at most, so the length fits its 24 bits.
    out.put_u32(u32::from(if fin { FLAG_FIN } else { 0 }) << 24 | (length as u32 & 0x00ff_ffff));
}
