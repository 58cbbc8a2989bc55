//! A request with both `Content-Length` and `Transfer-Encoding` is refused (invariant 5; RFC 9112, section 6.1).
//!
//! hyper takes the one, drops the other and tells nobody, so the bytes are looked at on their way to hyper: where a head
//! holds both, the line of the second is made unreadable, and hyper answers 400 and closes. What this reads otherwise
//! than hyper does can only be a message that hyper refuses itself.

/// Where in a connection's requests the next byte belongs.
#[derive(Debug, Default)]
pub(super) struct Framing {
    at: At,
    head: Head,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
}

/// What is being received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receiving {
    /// Nothing: the next byte begins a request.
    Nothing,
    /// A head that has begun.
    Head,
    /// A body.
    Body,
    /// HTTP/2, or what a tunnel carries.
    Other,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    Head,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    Trailers,
    Other,
}

#[derive(Debug, Default)]
struct Head {
    begun: bool,
    length: Option<u64>,
    chunked: bool,
    /// What follows need not be HTTP.
    opaque: bool,
}

impl Framing {
    /// Looks at what has been received next, and spoils what must not be understood.
    pub(super) fn inspect(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            bytes = match self.at {
                At::Other => return,
                At::Body(left) => self.skip(bytes, left, At::Body, At::Head),
                At::ChunkData(left) => self.skip(bytes, left, At::ChunkData, At::ChunkSize),
                At::Head | At::ChunkSize | At::Trailers => {
                    let Some(end) = memchr::memchr(b'\n', bytes) else {
                        self.line.extend_from_slice(bytes);
                        return;
                    };
                    let Some((line, rest)) = bytes.split_at_mut_checked(end + 1) else { return };
                    self.take_line(line);
                    rest
                }
            };
        }
    }

    /// What is being received.
    pub(super) fn receiving(&self) -> Receiving {
        match self.at {
            At::Head if self.head.begun || !self.line.is_empty() => Receiving::Head,
            At::Head => Receiving::Nothing,
            At::Body(_) | At::ChunkSize | At::ChunkData(_) | At::Trailers => Receiving::Body,
            At::Other => Receiving::Other,
        }
    }

    fn skip<'b>(&mut self, bytes: &'b mut [u8], left: u64, still: fn(u64) -> At, then: At) -> &'b mut [u8] {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left.saturating_sub(here as u64);
        self.at = if left == 0 { then } else { still(left) };
        bytes.get_mut(here..).unwrap_or_default()
    }

    fn take_line(&mut self, line: &mut [u8]) {
        let spoil = if self.line.is_empty() {
            self.line(trimmed(line))
        } else {
            let mut whole = std::mem::take(&mut self.line);
            whole.extend_from_slice(line);
            self.line(trimmed(&whole))
        };
        if spoil && let Some(end) = line.last_mut() {
            // No field value may hold it (RFC 9110, section 5.5).
            *end = 0;
        }
    }

    /// Takes a line in, without its end; whether it must be spoilt.
    fn line(&mut self, line: &[u8]) -> bool {
        match self.at {
            At::Head if line.is_empty() => self.end_head(),
            At::Head => return self.head.line(line),
            At::ChunkSize => self.at = chunk(line),
            At::Trailers if line.is_empty() => self.at = At::Head,
            At::Trailers | At::Body(_) | At::ChunkData(_) | At::Other => {}
        }
        false
    }

    fn end_head(&mut self) {
        if !self.head.begun {
            return;
        }
        let head = std::mem::take(&mut self.head);
        self.at = match head.length {
            _ if head.opaque => At::Other,
            _ if head.chunked => At::ChunkSize,
            None | Some(0) => At::Head,
            Some(length) => At::Body(length),
        };
    }
}

impl Head {
    /// Takes a line in; whether it must be spoilt.
    fn line(&mut self, line: &[u8]) -> bool {
        if !self.begun {
            self.begun = true;
            self.opaque = line == b"PRI * HTTP/2.0" || line.starts_with(b"CONNECT ");
            return false;
        }
        // Few fields begin like the three that matter.
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T' | b'u' | b'U')) {
            return false;
        }
        let Some((name, value)) = field(line) else { return false };
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
            self.opaque |= length.is_none();
            self.length = length.or(Some(0));
            return self.chunked;
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = true;
            return self.length.is_some();
        }
        self.opaque |= name.eq_ignore_ascii_case(b"upgrade") && !value.eq_ignore_ascii_case(b"h2c");
        false
    }
}

fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    Some((name, value.get(1..)?.trim_ascii()))
}

/// What follows the line with a chunk's size.
fn chunk(line: &[u8]) -> At {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let size = line.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok());
    match size.and_then(|size| u64::from_str_radix(size, 16).ok()) {
        Some(0) => At::Trailers,
        Some(size) => size.checked_add(2).map_or(At::Other, At::ChunkData),
        None => At::Other,
    }
}

fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What becomes of bytes that come in pieces, and what is received after them.
    fn inspected(bytes: &[u8], pieces: &[usize]) -> (Vec<u8>, Receiving) {
        let mut framing = Framing::default();
        let mut bytes = bytes.to_vec();
        let mut rest = bytes.as_mut_slice();
        for piece in pieces {
            let (now, later) = rest.split_at_mut((*piece).min(rest.len()));
            framing.inspect(now);
            rest = later;
        }
        framing.inspect(rest);
        (bytes, framing.receiving())
    }

    const GOOD: &[&str] = &[
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\nHost: a\n\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 36\r\n\r\nContent-Length: 1\r\nTransfer-Encoding",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n15;x=y\r\nContent-Length: 5\r\n\r\n\r\n0\r\nContent-Length: 3\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encodings: chunked\r\nX-Content-Length: 4\r\n\r\n",
    ];
    const BAD: &[&str] = &[
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nHost: a\r\ncontent-length:0\r\n\r\n",
        "POST / HTTP/1.1\nContent-Length: +5\nTransfer-Encoding: identity\n\n",
    ];

    #[test]
    fn after_a_websocket_has_begun_nothing_is_looked_at() {
        let tunnel = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(inspected(tunnel, &[]), (tunnel.to_vec(), Receiving::Other));
    }

    #[test]
    fn http2_is_not_looked_at() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\nContent-Length: 1\nTransfer-Encoding: a\n\n";
        assert_eq!(inspected(preface, &[]), (preface.to_vec(), Receiving::Other));
    }

    #[test]
    fn what_is_being_received_is_known() {
        let receiving = |bytes: &str| inspected(bytes.as_bytes(), &[]).1;
        assert_eq!(receiving(""), Receiving::Nothing);
        assert_eq!(receiving("G"), Receiving::Head);
        assert_eq!(receiving("GET / HTTP/1.1\r\nHost: a\r\n"), Receiving::Head);
        assert_eq!(receiving("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nx"), Receiving::Body);
        assert_eq!(receiving("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), Receiving::Body);
    }

    proptest! {
        #[test]
        fn good_requests_pass_as_they_are_in_whatever_pieces(
            requests in proptest::collection::vec(proptest::sample::select(GOOD), 1..6),
            pieces in proptest::collection::vec(0..40_usize, 0..20),
        ) {
            let bytes = requests.concat();
            let (after, receiving) = inspected(bytes.as_bytes(), &pieces);
            prop_assert_eq!(after, bytes.as_bytes());
            prop_assert_eq!(receiving, Receiving::Nothing);
        }

        #[test]
        fn invariant_5_two_lengths_are_spoilt_behind_whatever_good_requests(
            requests in proptest::collection::vec(proptest::sample::select(GOOD), 0..6),
            bad in proptest::sample::select(BAD),
            pieces in proptest::collection::vec(0..40_usize, 0..20),
        ) {
            let good = requests.concat();
            let bytes = [&good, bad].concat();
            let (after, _) = inspected(bytes.as_bytes(), &pieces);
            prop_assert_eq!(&after[..good.len()], good.as_bytes());
            prop_assert!(after[good.len()..].contains(&0));
        }
    }
}
