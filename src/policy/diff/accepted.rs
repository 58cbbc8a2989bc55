//! Paths with one irregularity, for routes that accept it.
//!
//! Such a path is decided under every interpretation. A path that is permitted stays permitted if other irregularities
//! are resolved, so that one kind in a path is enough. For each pattern that may decide an interpretation, the paths are
//! made from one that represents the pattern.

use super::generic::Generic;
use crate::policy::{HostPath, Irregularity, PathPattern, Segment};

/// Returns paths of `region` that hold `irregularity` and are interpreted as a path of one of `patterns`.
pub(super) fn accepted_paths(
    region: &HostPath,
    irregularity: Irregularity,
    patterns: &[&HostPath],
    generic: &Generic,
    depth: usize,
) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    let at_host = patterns.iter().filter(|other| other.host.intersection(&region.host).is_some());
    for other in [region].into_iter().chain(at_host.copied()) {
        // An encoded slash joins two segments, so that one more is needed behind the longest pattern.
        for path in generic.paths(other, depth + 1) {
            let segments: Vec<&str> = path.split('/').skip(1).filter(|segment| !segment.is_empty()).collect();
            for irregular in with_irregularity(&segments, irregularity, &region.path, generic) {
                if !paths.contains(&irregular) {
                    paths.push(irregular);
                }
            }
        }
    }
    paths
}

/// Returns paths that an upstream may interpret as `segments`.
fn with_irregularity(
    segments: &[&str],
    irregularity: Irregularity,
    pattern: &PathPattern,
    generic: &Generic,
) -> Vec<String> {
    let joined = match irregularity {
        Irregularity::EncodedSlash => join(segments, "%2F", pattern.segments(), pattern.takes_rest()),
        Irregularity::EncodedBackslash => join(segments, "%5C", pattern.segments(), pattern.takes_rest()),
        Irregularity::Parameters => each(segments, |segment| format!("{segment};v=1")),
        Irregularity::EncodedPercent => each(segments, encoded_twice),
        Irregularity::EmptySegment => {
            let mut paths: Vec<Vec<String>> = Vec::new();
            for index in 0..=segments.len() {
                let mut path: Vec<String> = segments.iter().map(ToString::to_string).collect();
                path.insert(index, String::new());
                paths.push(path);
            }
            // Some take the segment behind two slashes for an authority.
            let authority = [String::new(), generic.text().to_owned()];
            paths.push(authority.into_iter().chain(segments.iter().map(ToString::to_string)).collect());
            paths
        }
        Irregularity::EncodedHash => {
            let mut paths = each(segments, |segment| format!("{segment}%23{}", generic.text()));
            for extra in 1..=pattern.segments().len() {
                let mut path: Vec<String> = segments.iter().map(ToString::to_string).collect();
                if let Some(last) = path.last_mut() {
                    last.push_str("%23");
                }
                path.extend((0..extra).map(|index| generic.segment(index)));
                paths.push(path);
            }
            paths
        }
    };
    joined.into_iter().map(|path| format!("/{}", path.join("/"))).collect()
}

/// Returns the segments with each of them changed alone.
fn each(segments: &[&str], change: impl Fn(&str) -> String) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for index in 0..segments.len() {
        let changed = segments
            .iter()
            .enumerate()
            .map(|(at, segment)| if at == index { change(segment) } else { (*segment).to_owned() });
        paths.push(changed.collect());
    }
    paths
}

/// Encodes the first character of a segment twice, so that it is decoded to itself at the second time.
fn encoded_twice(segment: &str) -> String {
    match segment.bytes().next() {
        Some(first) if first.is_ascii_alphanumeric() => {
            format!("%25{first:02X}{}", segment.get(1..).unwrap_or_default())
        }
        _ => format!("%25{segment}"),
    }
}

/// Returns the segments with each two neighbours joined.
fn pairs(segments: &[&str], separator: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for index in 1..segments.len() {
        let Some((before, after)) = segments.split_at_checked(index) else { continue };
        let (Some((left, before)), Some((right, after))) = (before.split_last(), after.split_first()) else {
            continue;
        };
        let joined = format!("{left}{separator}{right}");
        let ends = after.iter().map(ToString::to_string);
        paths.push(before.iter().map(ToString::to_string).chain([joined]).chain(ends).collect());
    }
    paths
}

/// Returns the ways in which runs of `segments` can be joined so that the result matches the pattern.
fn join(segments: &[&str], separator: &str, pattern: &[Segment], rest: bool) -> Vec<Vec<String>> {
    let Some((first, others)) = pattern.split_first() else {
        return match segments {
            [] => vec![Vec::new()],
            _ if !rest => Vec::new(),
            [_] => vec![vec![segments.join("/")]],
            // All of them, or two neighbours: a path of more segments may have another route.
            _ => [vec![segments.join(separator)]].into_iter().chain(pairs(segments, separator)).collect(),
        };
    };
    let longest = match first {
        Segment::Literal(text) if segments.first() == Some(&&**text) => 1,
        Segment::Literal(_) => 0,
        Segment::Parameter(_) => segments.len(),
    };
    let mut paths = Vec::new();
    for length in 1..=longest {
        let Some((run, after)) = segments.split_at_checked(length) else { continue };
        for path in join(after, separator, others, rest) {
            paths.push([run.join(separator)].into_iter().chain(path).collect());
        }
    }
    paths
}
