//! The other ways in which an upstream may interpret an irregular path. An accepted path is decided under all of them.

use super::{Target, TargetError, path};

/// The most interpretations that are decided; a path with more is refused. One irregularity gives one or two.
const MAX_INTERPRETATIONS: usize = 64;

/// The transformations that servers apply to a path.
const TRANSFORMATIONS: [fn(&str) -> String; 7] = [
    decode_slashes,
    decode_again,
    drop_parameters,
    merge_slashes,
    drop_authority,
    cut_at_hash,
    turn_backslashes,
];

/// Returns every other interpretation of `target`: the transformations, alone and on top of each other, until no new
/// path results.
pub(super) fn interpretations(target: &Target) -> Result<Vec<Target>, TargetError> {
    let mut found = vec![target.clone()];
    let mut next = 0;
    while let Some(interpretation) = found.get(next) {
        next += 1;
        let path = interpretation.normal_path();
        let mut others = Vec::new();
        for other in TRANSFORMATIONS.map(|transform| transform(path)) {
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

/// Turns `%25` before two hexadecimal digits into `%`. Any other `%25` is a percent sign under every interpretation.
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

/// Removes the authority of a path with two slashes at the start, which is a reference with an authority to servers that
/// resolve it as one (RFC 3986, section 4.2).
fn drop_authority(path: &str) -> String {
    match path.strip_prefix("//") {
        Some(rest) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/").to_owned(),
        None => path.to_owned(),
    }
}

/// Cuts the path off at an encoded `#`, which begins a fragment for servers that decode before they split.
fn cut_at_hash(path: &str) -> String {
    match path.split_once("%23") {
        Some(("", _)) => "/".to_owned(),
        Some((before, _)) => before.to_owned(),
        None => path.to_owned(),
    }
}

/// Turns encoded backslashes into slashes, as Windows and lenient URL parsers do.
fn turn_backslashes(path: &str) -> String {
    path.replace("%5C", "/")
}
