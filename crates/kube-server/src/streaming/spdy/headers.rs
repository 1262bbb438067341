//! Header blocks: pairs of texts, compressed with one zlib stream a direction and the protocol's dictionary
//! (SPDY/3 draft, sections 2.6.10 and 2.6.10.1).

use bytes::{Buf, BufMut, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::frame::FrameError;

const NAMES: &[&str] = &[
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
    "origin",
];
const TEXTS: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 \
Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not \
Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec \
00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,\
application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,\
utf-,*,enq=0.";

/// A block of a port-forward stream has three short headers; more than this is not one.
const MAX_BLOCK_BYTES: usize = 64 * 1024;

fn dictionary() -> Vec<u8> {
    let mut out = Vec::with_capacity(1423);
    for name in NAMES {
        out.extend_from_slice(&(name.len() as u32).to_be_bytes());
        out.extend_from_slice(name.as_bytes());
    }
    out.extend_from_slice(TEXTS.as_bytes());
    out
}

pub(in super::super) struct HeaderReader {
    inflate: Decompress,
}

impl HeaderReader {
    pub fn new() -> HeaderReader {
        HeaderReader { inflate: Decompress::new(true) }
    }

    /// The block's headers, with names in lower case as the protocol sends them.
    pub fn read(&mut self, compressed: &[u8]) -> Result<Vec<(String, String)>, FrameError> {
        let plain = self.inflate_all(compressed)?;
        parse(&plain).ok_or_else(|| FrameError::Headers("it is not a list of pairs".to_owned()))
    }

    fn inflate_all(&mut self, compressed: &[u8]) -> Result<Vec<u8>, FrameError> {
        let failed = |error: &dyn std::fmt::Display| FrameError::Headers(error.to_string());
        let mut plain = Vec::with_capacity(4096);
        let mut rest = compressed;
        loop {
            let (consumed, produced) = (self.inflate.total_in(), self.inflate.total_out());
            plain.reserve(1024);
            let result = self.inflate.decompress_vec(rest, &mut plain, FlushDecompress::Sync);
            rest = &rest[(self.inflate.total_in() - consumed) as usize..];
            match result {
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.inflate.set_dictionary(&dictionary()).map_err(|error| failed(&error))?;
                    continue;
                }
                Err(error) => return Err(failed(&error)),
            }
            if plain.len() > MAX_BLOCK_BYTES {
                return Err(FrameError::Headers("it is too large".to_owned()));
            }
            if rest.is_empty() && self.inflate.total_out() == produced {
                return Ok(plain);
            }
            if self.inflate.total_in() == consumed && self.inflate.total_out() == produced {
                return Err(FrameError::Headers("it ends in the middle".to_owned()));
            }
        }
    }
}

fn parse(mut plain: &[u8]) -> Option<Vec<(String, String)>> {
    let text = |plain: &mut &[u8]| -> Option<String> {
        let length = plain.try_get_u32().ok()? as usize;
        let bytes = plain.get(..length)?.to_vec();
        plain.advance(length);
        String::from_utf8(bytes).ok()
    };
    let count = plain.try_get_u32().ok()?;
    (0..count).map(|_| Some((text(&mut plain)?, text(&mut plain)?))).collect()
}

pub(in super::super) struct HeaderWriter {
    deflate: Compress,
}

impl HeaderWriter {
    pub fn new() -> HeaderWriter {
        let mut deflate = Compress::new(Compression::default(), true);
        // Only a stream that has begun already would refuse its dictionary.
        let _ = deflate.set_dictionary(&dictionary());
        HeaderWriter { deflate }
    }

    pub fn write(&mut self, headers: &[(&str, &str)]) -> Result<bytes::Bytes, FrameError> {
        let mut plain = BytesMut::new();
        plain.put_u32(headers.len() as u32);
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            plain.put_u32(text.len() as u32);
            plain.put_slice(text.as_bytes());
        }
        let mut out = Vec::with_capacity(plain.len() + 256);
        self.deflate
            .compress_vec(&plain, &mut out, FlushCompress::Sync)
            .map_err(|error| FrameError::Headers(error.to_string()))?;
        Ok(out.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_the_protocols() {
        // Adler-32 of the dictionary, which zlib streams name it by (SPDY/3 draft, section 2.6.10.1).
        let (mut low, mut high) = (1_u32, 0_u32);
        for byte in dictionary() {
            low = (low + u32::from(byte)) % 65_521;
            high = (high + low) % 65_521;
        }
        assert_eq!(high << 16 | low, 0xe3c6_a7c2);
    }

    #[test]
    fn blocks_share_one_stream_and_come_back() {
        let (mut writer, mut reader) = (HeaderWriter::new(), HeaderReader::new());
        for request in ["0", "1", "2"] {
            let sent = [("port", "8080"), ("requestid", request), ("streamtype", "data")];
            let block = writer.write(&sent).unwrap();
            let expected: Vec<_> = sent.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(reader.read(&block).unwrap(), expected);
        }
    }

    #[test]
    fn rubbish_is_an_error() {
        assert!(HeaderReader::new().read(b"rubbish").is_err());
        assert!(HeaderReader::new().read(&[]).is_err());
        let block = HeaderWriter::new().write(&[("a", "b")]).unwrap();
        assert!(HeaderReader::new().read(&block[..block.len() / 2]).is_err());
    }
}
