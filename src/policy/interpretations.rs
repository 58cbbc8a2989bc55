//! The other ways in which an upstream may read an irregular path. An accepted one is decided under all of them.

use super::{Target, TargetError, path};

/// More readings than this are not decided but refused. A path with one kind of irregularity has one or two.
const MAX_INTERPRETATIONS: usize = 64;

/// What servers do to a path.
const WAYS: [fn(&str) -> String; 5] =
    [decode_slashes, decode_again, drop_parameters, merge_slashes, drop_authority];

/// Every other reading of `target`: `%2F` as `/`, `%25` decoded again, without parameters, slashes merged, what
/// stands between two slashes at the start taken for an authority, and all of these on top of each other until nothing
/// new comes.
pub(super) fn interpretations(target: &Target) -> Result<Vec<Target>, TargetError> {
    let mut found = vec![target.clone()];
    let mut next = 0;
    while let Some(reading) = found.get(next) {
        next += 1;
        let path = reading.normal_path();
        let mut others = Vec::new();
        for other in WAYS.map(|way| way(path)) {
            let other = target.at_path(other)?;
            if found.iter().all(|known| known.normal_path() != other.normal_path()) {
                others.push(other);
            }
        }
        found.append(&mut others);
        if found.len() > MAX_INTERPRETATIONS {
            return Err(TargetError::TooManyInterpretations);
        }
    }
    found.remove(0);
    Ok(found)
}

fn decode_slashes(path: &str) -> String {
    path.replace("%2F", "/")
}

/// `%25` before two hexadecimal digits becomes `%`. Any other `%25` stands for a percent sign under every reading.
fn decode_again(path: &str) -> String {
    let mut parts = path.split("%25");
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.as_bytes().first_chunk();
        let encodes = digits.is_some_and(|digits| path::hex_pair(*digits).is_some());
        decoded.push_str(if encodes { "%" } else { "%25" });
        decoded.push_str(part);
    }
    decoded
}

fn drop_parameters(path: &str) -> String {
    let mut kept = String::with_capacity(path.len());
    for segment in path.split('/').skip(1) {
        kept.push('/');
        kept.push_str(segment.split(';').next().unwrap_or_default());
    }
    kept
}

fn merge_slashes(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for char in path.chars() {
        if char != '/' || !merged.ends_with('/') {
            merged.push(char);
        }
    }
    merged
}

/// A path with two slashes at the start is a reference with an authority to those who resolve it as one (RFC 3986,
/// section 4.2).
fn drop_authority(path: &str) -> String {
    match path.strip_prefix("//") {
        Some(rest) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/").to_owned(),
        None => path.to_owned(),
    }
}
