//! The search tree of a policy. Finding the most specific place that matches a target takes a hash look-up per
//! segment, however many routes there are.
//!
//! A node has literal children, one child for a parameter, and may be the end of a place or the start of its `**`.
//! They are tried in the order of precedence, so the first place found is the smallest one in [`HostPath`]'s order. After
//! a literal that leads nowhere the parameter is tried; that visits no node twice and goes no deeper than the longest
//! pattern.

use ahash::AHashMap;

use super::{HostPath, HostPattern, PathPattern, Segment, pattern::wildcard_suffix};

/// The tree: places to the numbers under which they were inserted.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    exact: AHashMap<Box<str>, usize>,
    wildcard: AHashMap<Box<str>, usize>,
    any: Option<usize>,
    /// Literal segments, numbered, so that an edge is a pair of numbers.
    literals: AHashMap<Box<str>, usize>,
    edges: AHashMap<(usize, usize), usize>,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    parameter: Option<usize>,
    end: Option<usize>,
    rest: Option<usize>,
}

impl Tree {
    /// The number of `place`; `new` if it was not there.
    pub(super) fn insert(&mut self, host_path: &HostPath, new: usize) -> usize {
        let mut node = self.root(&host_path.host);
        for segment in host_path.path.segments() {
            node = match segment {
                Segment::Literal(text) => self.literal_child(node, text),
                Segment::Parameter(_) => self.parameter_child(node),
            };
        }
        let Some(node) = self.nodes.get_mut(node) else { return new };
        *Self::slot(node, &host_path.path).get_or_insert(new)
    }

    /// The number of the most specific place that matches `host` and `path`. The path is empty, or has a slash before
    /// each segment.
    pub(super) fn find(&self, host: &str, path: &str) -> Option<usize> {
        if self.exact.is_empty() && self.wildcard.is_empty() {
            return self.descend(self.any?, path);
        }
        let exact = self.exact.get(host).and_then(|root| self.descend(*root, path));
        exact
            .or_else(|| self.descend(*self.wildcard.get(wildcard_suffix(host)?)?, path))
            .or_else(|| self.descend(self.any?, path))
    }

    fn descend(&self, node: usize, path: &str) -> Option<usize> {
        let at = self.nodes.get(node)?;
        let Some(inner) = path.strip_prefix('/') else {
            return at.end.or(at.rest);
        };
        let length = inner.bytes().position(|byte| byte == b'/').unwrap_or(inner.len());
        let (segment, tail) = inner.split_at_checked(length)?;
        let literal = self.literals.get(segment).and_then(|literal| self.edges.get(&(node, *literal)));
        let by_literal = literal.and_then(|child| self.descend(*child, tail));
        by_literal.or_else(|| self.descend(at.parameter?, tail)).or(at.rest)
    }

    fn slot<'n>(node: &'n mut Node, path: &PathPattern) -> &'n mut Option<usize> {
        if path.takes_rest() { &mut node.rest } else { &mut node.end }
    }

    fn root(&mut self, host: &HostPattern) -> usize {
        let next = self.nodes.len();
        let root = match host {
            HostPattern::Exact(host) => *self.exact.entry(host.clone()).or_insert(next),
            HostPattern::Wildcard(suffix) => *self.wildcard.entry(suffix.clone()).or_insert(next),
            HostPattern::Any => *self.any.get_or_insert(next),
        };
        self.grow_to(root)
    }

    fn literal_child(&mut self, node: usize, text: &str) -> usize {
        let next = self.literals.len();
        let literal = *self.literals.entry(text.into()).or_insert(next);
        let child = *self.edges.entry((node, literal)).or_insert(self.nodes.len());
        self.grow_to(child)
    }

    fn parameter_child(&mut self, node: usize) -> usize {
        let next = self.nodes.len();
        let child = self.nodes.get_mut(node).map_or(next, |node| *node.parameter.get_or_insert(next));
        self.grow_to(child)
    }

    /// Makes the node `index` if it is the next one.
    fn grow_to(&mut self, index: usize) -> usize {
        if index == self.nodes.len() {
            self.nodes.push(Node::default());
        }
        index
    }
}
