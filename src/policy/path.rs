//! The normal form of a path.
//!
//! What is decoded and re-encoded here is compared byte for byte ever after: characters that may stand for themselves
//! in a segment (RFC 3986, section 3.3) do, all others are percent-encoded in upper case. Two paths have the same
//! normal form exactly if they decode to the same bytes.

use super::{Irregularities, Irregularity, TargetError};

/// A path that may be decided on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NormalPath {
    /// The normal form, where it differs from what was sent.
    pub(super) rewritten: Option<Box<str>>,
    /// Its irregularities.
    pub(super) irregularities: Irregularities,
}

/// Brings `path`, with its leading slash and without query, into normal form.
pub(super) fn normalise(path: &[u8]) -> Result<NormalPath, TargetError> {
    if path.first() != Some(&b'/') {
        return Err(TargetError::NotOriginForm);
    }
    let mut irregularities = Irregularities::NONE;
    if is_plain(path) {
        return Ok(NormalPath { rewritten: None, irregularities });
    }
    let text = rewrite(path, &mut irregularities)?;
    check_segments(text.as_bytes(), &mut irregularities)?;
    let rewritten = (text.as_bytes() != path).then(|| text.into_boxed_str());
    Ok(NormalPath { rewritten, irregularities })
}

/// Checks that a query can be forwarded: it is never matched, so only what could break a line of HTTP is refused.
pub(super) fn check_query(query: &[u8]) -> Result<(), TargetError> {
    query.iter().filter(|byte| !stands_for_itself(**byte)).try_for_each(|byte| match byte {
        b'#' => Err(TargetError::Fragment),
        b'\\' => Ok(()),
        _ => check_byte(*byte),
    })
}

/// The value of two hexadecimal digits.
pub(super) fn hex_pair(digits: [u8; 2]) -> Option<u8> {
    fn digit(byte: u8) -> Option<u8> {
        char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok())
    }
    let [high, low] = digits;
    Some(digit(high)? << 4 | digit(low)?)
}

/// Returns `true` if a path is its own normal form at first sight, as nearly all are.
fn is_plain(path: &[u8]) -> bool {
    let mut previous = 0;
    path.iter().all(|byte| {
        let after_slash = std::mem::replace(&mut previous, *byte) == b'/';
        if after_slash {
            stands_for_itself(*byte) && *byte != b'.'
        } else {
            stands_for_itself(*byte) || *byte == b'/'
        }
    })
}

/// Returns `true` if a byte is a `pchar` (RFC 3986, section 3.3) that needs no second look: not `%`, not `;`.
fn stands_for_itself(byte: u8) -> bool {
    PLAIN.get(usize::from(byte)).copied().unwrap_or_default()
}

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
const PLAIN: [bool; 256] = {
    let bytes = b"-._~:@!$&'()*+,=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut table = [false; 256];
    let mut index = 0;
    while index < bytes.len() {
        table[bytes[index] as usize] = true;
        index += 1;
    }
    table
};

fn rewrite(path: &[u8], irregularities: &mut Irregularities) -> Result<String, TargetError> {
    let mut text = String::with_capacity(path.len() + 8);
    let mut high = Vec::new();
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let (digits, after) = after.split_first_chunk().ok_or(TargetError::PercentEncoding)?;
            let decoded = hex_pair(*digits).ok_or(TargetError::PercentEncoding)?;
            if decoded.is_ascii() {
                check_text(&mut high)?;
            } else {
                high.push(decoded);
            }
            push_decoded(decoded, &mut text, irregularities)?;
            rest = after;
        } else {
            check_text(&mut high)?;
            push_raw(byte, &mut text, irregularities)?;
            rest = after;
        }
    }
    check_text(&mut high)?;
    Ok(text)
}

fn push_raw(byte: u8, text: &mut String, irregularities: &mut Irregularities) -> Result<(), TargetError> {
    check_byte(byte)?;
    match byte {
        b'/' => text.push('/'),
        _ => push(byte, text, irregularities),
    }
    Ok(())
}

fn push_decoded(byte: u8, text: &mut String, irregularities: &mut Irregularities) -> Result<(), TargetError> {
    match byte {
        b' ' | 0x80.. => {}
        b'/' => irregularities.insert(Irregularity::EncodedSlash),
        b'%' => irregularities.insert(Irregularity::EncodedPercent),
        b'#' => irregularities.insert(Irregularity::EncodedHash),
        b'\\' => irregularities.insert(Irregularity::EncodedBackslash),
        _ => check_byte(byte)?,
    }
    push(byte, text, irregularities);
    Ok(())
}

fn push(byte: u8, text: &mut String, irregularities: &mut Irregularities) {
    if byte == b';' {
        irregularities.insert(Irregularity::Parameters);
        text.push(';');
    } else if stands_for_itself(byte) {
        text.push(char::from(byte));
    } else {
        text.push('%');
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or_default().to_ascii_uppercase());
        }
    }
}

/// Refuses bytes that a path must not contain.
fn check_byte(byte: u8) -> Result<(), TargetError> {
    match byte {
        0 => Err(TargetError::Nul),
        0x01..0x20 | 0x7f => Err(TargetError::Control),
        b' ' => Err(TargetError::Space),
        b'#' => Err(TargetError::Fragment),
        b'\\' => Err(TargetError::Backslash),
        0x80.. => Err(TargetError::NonAscii),
        _ => Ok(()),
    }
}

/// A run of encoded bytes beyond ASCII must be UTF-8 by itself, and no control character of C1.
fn check_text(run: &mut Vec<u8>) -> Result<(), TargetError> {
    if run.is_empty() {
        return Ok(());
    }
    let text = std::str::from_utf8(run).map_err(|_| TargetError::NotUtf8)?;
    if text.chars().any(char::is_control) {
        return Err(TargetError::Control);
    }
    run.clear();
    Ok(())
}

fn check_segments(normal: &[u8], irregularities: &mut Irregularities) -> Result<(), TargetError> {
    let mut previous_empty = false;
    for segment in normal.split(|byte| *byte == b'/').skip(1) {
        if previous_empty {
            irregularities.insert(Irregularity::EmptySegment);
        }
        previous_empty = segment.is_empty();
        if segment.first() == Some(&b'.') {
            let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
            if name == b"." || name == b".." {
                return Err(TargetError::DotSegment);
            }
        }
    }
    Ok(())
}
