//! The framing of HTTP/1.1 requests, checked before hyper reads them (invariant 5; RFC 9112, section 6.1).
//!
//! hyper drops `Content-Length` beside `Transfer-Encoding` without a word and takes `gzip, chunked` for `chunked`, so the
//! bytes are inspected on their way to hyper: the line that makes a head ambiguous is made unreadable, so that hyper
//! answers 400 and closes. Bodies are followed by the same rules as hyper's decoder, byte for byte, so that both agree
//! where the next head begins; a fuzz target compares them. A byte that hyper would refuse means that the place in the
//! stream is lost: everything after it is blanked, and the connection ends.

/// The most bytes of chunk extensions that hyper accepts in one body.
const LONGEST_EXTENSIONS: u32 = 16 << 10;

/// The position in the requests of one connection.
#[derive(Debug, Default)]
pub struct Framing {
    at: Position,
    head: Head,
    /// The beginning of a head's line whose end has not been received.
    line: Vec<u8>,
    /// Bytes of chunk extensions in the present body.
    extensions: u32,
}

/// The part of a request that is being received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiving {
    /// Nothing: the next byte begins a request.
    Nothing,
    /// A head that has begun.
    Head,
    /// A body.
    Body,
    /// HTTP/2, or the contents of a tunnel.
    Other,
    /// Bytes that are not HTTP. The connection cannot be used any longer.
    Lost,
}

/// The states are those of hyper's `ChunkedState`, and the ones around it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Position {
    #[default]
    Head,
    Body(u64),
    /// The first digit of a chunk's size.
    ChunkStart,
    ChunkSize(u64),
    ChunkSpace(u64),
    ChunkExtension(u64),
    ChunkSizeEnd(u64),
    ChunkData(u64),
    ChunkDataCr,
    ChunkDataLf,
    /// The first byte of a trailer's line, or of the empty line that ends the body.
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    Other,
    Lost,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the lines of a head set them independently")]
struct Head {
    begun: bool,
    length: Option<u64>,
    chunked: bool,
    /// The bytes that follow need not be HTTP.
    opaque: bool,
    /// hyper will refuse it once it is complete.
    ambiguous: bool,
}

/// The meaning of a head's line for the framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Acceptable,
    /// The line makes the length of the body ambiguous.
    Ambiguous,
}

impl Framing {
    /// Inspects the bytes that were received next, and overwrites those that hyper must refuse.
    pub fn inspect(&mut self, mut bytes: &mut [u8]) {
        while let Some(first) = bytes.first().copied() {
            bytes = match self.at {
                Position::Other => return,
                Position::Lost => return bytes.fill(0),
                Position::Body(left) => self.skip(bytes, left, Position::Body, Position::Head),
                Position::ChunkData(left) => {
                    self.skip(bytes, left, Position::ChunkData, Position::ChunkDataCr)
                }
                Position::Head => {
                    let Some(end) = memchr::memchr(b'\n', bytes) else {
                        self.line.extend_from_slice(bytes);
                        return;
                    };
                    let Some((line, rest)) = bytes.split_at_mut_checked(end + 1) else { return };
                    self.take_line(line);
                    rest
                }
                _ => {
                    let before = std::mem::replace(&mut self.at, Position::Lost);
                    self.at = self.after(before, first);
                    let Some((byte, rest)) = bytes.split_first_mut() else { return };
                    if self.at == Position::Lost
                        && matches!(before, Position::TrailerStart | Position::Trailer)
                    {
                        // hyper refuses every other byte that is refused here. This one becomes half of a line's end.
                        *byte = b'\r';
                    }
                    rest
                }
            };
        }
    }

    /// Returns the part of a request that is being received.
    pub fn receiving(&self) -> Receiving {
        match self.at {
            // An empty line may come before a request line (RFC 9112, section 2.2).
            Position::Head if self.head.begun || !matches!(self.line.as_slice(), [] | [b'\r']) => {
                Receiving::Head
            }
            Position::Head => Receiving::Nothing,
            Position::Other => Receiving::Other,
            Position::Lost => Receiving::Lost,
            _ => Receiving::Body,
        }
    }

    fn skip<'b>(
        &mut self,
        bytes: &'b mut [u8],
        left: u64,
        still: fn(u64) -> Position,
        then: Position,
    ) -> &'b mut [u8] {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left.saturating_sub(here as u64);
        self.at = if left == 0 { then } else { still(left) };
        bytes.get_mut(here..).unwrap_or_default()
    }

    /// Returns the position after a byte of a chunked body outside a chunk's data.
    fn after(&mut self, before: Position, byte: u8) -> Position {
        use Position::{
            ChunkData, ChunkDataCr, ChunkDataLf, ChunkExtension, ChunkSize, ChunkSizeEnd, ChunkSpace,
            ChunkStart, EndLf, Head, Lost, Trailer, TrailerLf, TrailerStart,
        };
        match (before, byte) {
            (ChunkStart, _) => with_digit(0, byte),
            (ChunkSize(size) | ChunkSpace(size), b'\t' | b' ') => ChunkSpace(size),
            (ChunkSize(size) | ChunkSpace(size), b';') => ChunkExtension(size),
            (ChunkSize(size) | ChunkSpace(size) | ChunkExtension(size), b'\r') => ChunkSizeEnd(size),
            (ChunkSize(size), _) => with_digit(size, byte),
            // hyper goes on after a bare line feed in trailers, and its parser of trailers takes it for the end of a line.
            (ChunkExtension(_) | TrailerStart | Trailer, b'\n') => Lost,
            (ChunkExtension(size), _) => {
                self.extensions += 1;
                if self.extensions < LONGEST_EXTENSIONS { ChunkExtension(size) } else { Lost }
            }
            (ChunkSizeEnd(0) | TrailerLf, b'\n') => TrailerStart,
            (ChunkSizeEnd(size), b'\n') => ChunkData(size),
            (ChunkDataCr, b'\r') => ChunkDataLf,
            (ChunkDataLf, b'\n') => ChunkStart,
            (TrailerStart, b'\r') => EndLf,
            (Trailer, b'\r') => TrailerLf,
            (TrailerStart | Trailer, _) => Trailer,
            (EndLf, b'\n') => Head,
            _ => Lost,
        }
    }

    fn take_line(&mut self, line: &mut [u8]) {
        let verdict = if self.line.is_empty() {
            self.line(without_end(line))
        } else {
            let mut whole = std::mem::take(&mut self.line);
            whole.extend_from_slice(line);
            self.line(without_end(&whole))
        };
        if verdict == Verdict::Acceptable {
            return;
        }
        // No field value may hold a NUL (RFC 9110, section 5.5). The line's end stays, so that hyper sees a whole head.
        match line {
            [.., last, _end] => {
                *last = 0;
                self.head.ambiguous = true;
            }
            line => {
                line.fill(0);
                self.at = Position::Lost;
            }
        }
    }

    /// Takes in a line of a head, without its end.
    fn line(&mut self, line: &[u8]) -> Verdict {
        if !line.is_empty() {
            return self.head.line(line);
        }
        if self.head.begun {
            let head = std::mem::take(&mut self.head);
            self.extensions = 0;
            self.at = match head.length {
                _ if head.ambiguous => Position::Lost,
                _ if head.opaque => Position::Other,
                _ if head.chunked => Position::ChunkStart,
                None | Some(0) => Position::Head,
                Some(length) => Position::Body(length),
            };
        }
        Verdict::Acceptable
    }
}

impl Head {
    /// Takes in a line that is not empty.
    fn line(&mut self, line: &[u8]) -> Verdict {
        if !self.begun {
            self.begun = true;
            self.opaque = line == b"PRI * HTTP/2.0" || line.starts_with(b"CONNECT ");
            return Verdict::Acceptable;
        }
        // Few fields begin like the three that matter.
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T' | b'u' | b'U')) {
            return Verdict::Acceptable;
        }
        let Some((name, value)) = field(line) else { return Verdict::Acceptable };
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(value).ok().filter(|_| value.iter().all(u8::is_ascii_digit));
            let length = digits.and_then(|digits| digits.parse().ok());
            let acceptable =
                !self.chunked && length.is_some() && self.length.is_none_or(|known| Some(known) == length);
            self.length = length;
            return if acceptable { Verdict::Acceptable } else { Verdict::Ambiguous };
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // Any other coding would be lost silently, for nothing here decodes it (RFC 9112, section 6.1).
            let acceptable = !self.chunked && self.length.is_none() && value.eq_ignore_ascii_case(b"chunked");
            self.chunked = true;
            return if acceptable { Verdict::Acceptable } else { Verdict::Ambiguous };
        }
        self.opaque |= name.eq_ignore_ascii_case(b"upgrade") && !value.eq_ignore_ascii_case(b"h2c");
        Verdict::Acceptable
    }
}

fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    Some((name, value.get(1..)?.trim_ascii()))
}

/// Returns the position after another digit of a chunk's size.
fn with_digit(size: u64, byte: u8) -> Position {
    let digit = char::from(byte).to_digit(16).map(u64::from);
    let larger = digit.and_then(|digit| size.checked_mul(16)?.checked_add(digit));
    larger.map_or(Position::Lost, Position::ChunkSize)
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Inspects bytes that arrive in pieces. Returns them as hyper gets them, and the part that is received after them.
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

    fn receiving(bytes: &str) -> Receiving {
        inspected(bytes.as_bytes(), &[]).1
    }

    const GOOD: &[&str] = &[
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\nHost: a\n\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 36\r\n\r\nContent-Length: 1\r\nTransfer-Encoding",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n15;x=y\r\nContent-Length: 5\r\n\r\n\r\n0\r\nContent-Length: 3\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n000 \t;a\r\nX: a\r\nY: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encodings: chunked\r\nX-Content-Length: 4\r\n\r\n",
    ];
    const BAD: &[&str] = &[
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nHost: a\r\ncontent-length:0\r\n\r\n",
        "POST / HTTP/1.1\nContent-Length: +5\nTransfer-Encoding: identity\n\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ];

    #[test]
    fn bytes_after_a_request_for_a_websocket_are_not_inspected() {
        let tunnel = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(inspected(tunnel, &[]), (tunnel.to_vec(), Receiving::Other));
    }

    #[test]
    fn http2_is_not_inspected() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\nContent-Length: 1\nTransfer-Encoding: a\n\n";
        assert_eq!(inspected(preface, &[]), (preface.to_vec(), Receiving::Other));
    }

    #[test]
    fn the_part_that_is_being_received_is_known() {
        assert_eq!(receiving(""), Receiving::Nothing);
        assert_eq!(receiving("G"), Receiving::Head);
        assert_eq!(receiving("GET / HTTP/1.1\r\nHost: a\r\n"), Receiving::Head);
        assert_eq!(receiving("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nx"), Receiving::Body);
        assert_eq!(receiving("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), Receiving::Body);
    }

    /// A5: after a bare line feed in trailers nothing of the connection reaches hyper as it was sent.
    #[test]
    fn a_bare_line_feed_in_trailers_ends_the_connection() {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
        for trailers in ["X: a\n\r\n\r\n", "X: a\n\n", "\n", "X: a\r\nY: b\n\r\n"] {
            let next = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
            let (after, receiving) = inspected([head, trailers, next].concat().as_bytes(), &[]);
            assert_eq!(receiving, Receiving::Lost, "{trailers:?}");
            assert!(after.ends_with(&vec![0; next.len()]), "{trailers:?}");
        }
    }

    /// A19, CASES P5: a transfer coding other than exactly one `chunked` is made unreadable.
    #[test]
    fn a_transfer_coding_other_than_one_chunked_is_refused() {
        for fields in [
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked;q=1",
            "Transfer-Encoding: ,chunked",
            "Transfer-Encoding:",
        ] {
            let request = format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n0\r\n\r\n");
            let (after, receiving) = inspected(request.as_bytes(), &[]);
            assert!(after.contains(&0) && receiving == Receiving::Lost, "{fields}");
        }
    }

    /// CASES P6: a malformed chunk loses the place in the stream.
    #[test]
    fn a_malformed_chunk_ends_the_connection() {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        for chunk in [
            "3;x\ny\r\nabc",
            "0x5\r\n",
            "10000000000000000\r\n",
            "3\nabc",
            "3\r\nabcd",
            "\r\n",
            "g\r\n",
            "3 4\r\n",
        ] {
            assert_eq!(receiving(&format!("{head}{chunk}")), Receiving::Lost, "{chunk:?}");
        }
    }

    proptest! {
        #[test]
        fn good_requests_pass_unchanged_in_any_pieces(
            requests in proptest::collection::vec(proptest::sample::select(GOOD), 1..6),
            pieces in proptest::collection::vec(0..40_usize, 0..20),
        ) {
            let bytes = requests.concat();
            let (after, receiving) = inspected(bytes.as_bytes(), &pieces);
            prop_assert_eq!(after, bytes.as_bytes());
            prop_assert_eq!(receiving, Receiving::Nothing);
        }

        #[test]
        fn invariant_5_two_lengths_are_made_unreadable_behind_any_good_requests(
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
