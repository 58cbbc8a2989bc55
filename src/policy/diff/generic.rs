//! Texts that no policy names: they represent all of those.

use crate::policy::{ClaimValue, HostPath, HostPattern, Policy, Segment};

/// A text that occurs in no name of the two policies.
#[derive(Debug)]
pub(super) struct Generic(String);

impl Generic {
    pub(super) fn for_policies(policies: [&Policy; 2]) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for route in policies.into_iter().flat_map(Policy::routes) {
            let pattern = route.pattern();
            match &pattern.host_path.host {
                HostPattern::Exact(host) | HostPattern::Wildcard(host) => names.push(host),
                HostPattern::Any => {}
            }
            for segment in pattern.host_path.path.segments() {
                if let Segment::Literal(text) = segment {
                    names.push(text);
                }
            }
            if let Some(mcp) = &pattern.mcp {
                names.push(&mcp.method);
                names.extend(mcp.name.as_deref());
            }
            for alternative in route.rule().alternatives() {
                for value in alternative.claims.iter().flat_map(|test| &test.values) {
                    match value {
                        ClaimValue::Equals(value) => names.extend(value.as_str()),
                        ClaimValue::Prefix(prefix) => names.push(prefix),
                        ClaimValue::Segment { .. } => {}
                    }
                }
                if let Some(crate::policy::ActorTest::OneOf(ids)) = &alternative.actor {
                    names.extend(ids.iter().map(|id| &**id));
                }
            }
        }
        let numbered = (0_u32..).map(|number| format!("other{number}"));
        let words = ["x", "y", "z", "any", "some", "other"].into_iter().map(str::to_owned).chain(numbered);
        let mut unnamed = words.filter(|word| !names.iter().any(|name| name.contains(word.as_str())));
        Self(unnamed.next().unwrap_or_default())
    }

    /// Returns the text.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Returns a host that matches `pattern` and no narrower one.
    pub(super) fn host(&self, pattern: &HostPattern) -> String {
        match pattern {
            HostPattern::Exact(host) => host.to_string(),
            HostPattern::Wildcard(suffix) => format!("{}.{suffix}", self.0),
            HostPattern::Any => format!("api.{}", self.0),
        }
    }

    /// Returns a segment for the position `index`. Those of two positions differ.
    pub(super) fn segment(&self, index: usize) -> String {
        format!("{}{}", self.0, index + 1)
    }

    /// Returns paths that represent those of a pattern: one of each length up to `depth`, with a text that no pattern
    /// names wherever the pattern names none. Whatever decides one of these decides all of the pattern's paths of this
    /// length that are not decided by a more specific pattern.
    pub(super) fn paths(&self, host_path: &HostPath, depth: usize) -> impl Iterator<Item = String> {
        let segments = host_path.path.segments();
        let more = if host_path.path.takes_rest() { (depth + 1).saturating_sub(segments.len()) } else { 0 };
        (segments.len()..=segments.len() + more).map(|length| {
            let mut path = String::new();
            for index in 0..length {
                path.push('/');
                match segments.get(index) {
                    Some(Segment::Literal(text)) => path.push_str(text),
                    Some(Segment::Parameter(_)) | None => path.push_str(&self.segment(index)),
                }
            }
            if path.is_empty() { "/".to_owned() } else { path }
        })
    }
}
