//! Patterns of targets and their precedence.

mod parse;

use std::{cmp::Ordering, fmt};

use super::{McpSelector, Methods, Target};

pub use self::parse::PatternError;

/// A pattern: which methods, where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// The methods as written.
    pub methods: Methods,
    /// Host and path.
    pub host_path: HostPath,
    /// The requests of the Model Context Protocol; `None` for every request.
    pub mcp: Option<McpSelector>,
}

/// Host and path of a pattern. The order is the precedence: the smallest place that matches decides. `{a}` and `{b}`
/// are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPath {
    /// The host.
    pub host: HostPattern,
    /// The path.
    pub path: PathPattern,
}

/// A pattern of hosts. Exact ones come first, then wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This host.
    Exact(Box<str>),
    /// `*.example.com`: any one label before `.example.com`; without the `*.`.
    Wildcard(Box<str>),
    /// Any host.
    Any,
}

/// A pattern of paths.
#[derive(Debug, Clone)]
pub struct PathPattern {
    segments: Box<[Segment]>,
    rest: bool,
}

/// One segment of a path pattern.
#[derive(Debug, Clone)]
pub enum Segment {
    /// This text, in normal form.
    Literal(Box<str>),
    /// `{name}`: any one segment.
    Parameter(Box<str>),
}

impl Pattern {
    /// Returns `true` if methods, host, path and MCP selector match, `HEAD` only where it is named.
    pub fn matches(&self, target: &Target) -> bool {
        self.methods.contains(target.method())
            && self.host_path.matches(target)
            && self
                .mcp
                .as_ref()
                .is_none_or(|mcp: &McpSelector| target.mcp().is_ok_and(|facts| mcp.matches(facts)))
    }

    /// Compares by precedence: host and path first, then the MCP selector, of which none comes last.
    pub(super) fn precedence(&self, other: &Self) -> Ordering {
        let unselected = self.mcp.is_none().cmp(&other.mcp.is_none());
        self.host_path.cmp(&other.host_path).then(unselected).then_with(|| self.mcp.cmp(&other.mcp))
    }
}

impl HostPath {
    /// Returns `true` if host and path match.
    pub fn matches(&self, target: &Target) -> bool {
        self.host.matches(target.host()) && self.path.matches(target)
    }
}

impl HostPattern {
    /// Returns `true` if a host in normal form matches.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *host,
            Self::Wildcard(suffix) => wildcard_suffix(host) == Some(suffix),
            Self::Any => true,
        }
    }
}

/// Returns the part of a host name behind its first label.
pub(super) fn wildcard_suffix(host: &str) -> Option<&str> {
    (!host.starts_with('[')).then(|| host.split_once('.')).flatten().map(|(_, suffix)| suffix)
}

impl PathPattern {
    /// The most segments that a pattern may have.
    pub const MAX_SEGMENTS: usize = 64;

    pub(super) fn new(segments: Box<[Segment]>, rest: bool) -> Self {
        Self { segments, rest }
    }

    /// The segments, `**` left out.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns `true` if it ends in `**`.
    pub fn takes_rest(&self) -> bool {
        self.rest
    }

    /// Returns `true` if it matches one path only.
    pub(super) fn is_literal(&self) -> bool {
        !self.rest && self.segments.iter().all(|segment| matches!(segment, Segment::Literal(_)))
    }

    /// Returns `true` if a path matches.
    pub fn matches(&self, target: &Target) -> bool {
        let mut given = target.segments();
        let all = self.segments.iter().all(|segment| given.next().is_some_and(|text| segment.matches(text)));
        all && (self.rest || given.next().is_none())
    }

    /// Returns the ranks that decide the order: literals before parameters, an end before `**`, and both behind all segments.
    fn rank(&self) -> impl Iterator<Item = Rank<'_>> {
        let end = if self.rest { Rank::Rest } else { Rank::End };
        self.segments.iter().map(Segment::rank).chain([end])
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Rank<'a> {
    Literal(&'a str),
    Parameter,
    End,
    Rest,
}

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for PathPattern {}

impl std::hash::Hash for PathPattern {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.rank().for_each(|rank| rank.hash(state));
    }
}

impl Ord for PathPattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(other.rank())
    }
}

impl PartialOrd for PathPattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Segment {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Literal(literal) => **literal == *text,
            Self::Parameter(_) => true,
        }
    }

    fn rank(&self) -> Rank<'_> {
        match self {
            Self::Literal(text) => Rank::Literal(text),
            Self::Parameter(_) => Rank::Parameter,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.methods != Methods::all() {
            write!(f, "{} ", self.methods)?;
        }
        self.host_path.fmt(f)?;
        self.mcp.iter().try_for_each(|mcp| write!(f, " [{mcp}]"))
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, self.path)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
            Self::Any => Ok(()),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Parameter(name) => write!(f, "/{{{name}}}")?,
            }
        }
        match (self.rest, self.segments.is_empty()) {
            (true, _) => f.write_str("/**"),
            (false, true) => f.write_str("/"),
            (false, false) => Ok(()),
        }
    }
}
