//! Services that ignore the case of paths (`case: insensitive`): `/ADMIN` is `/admin` to them.
//!
//! A request is decided by its path as it was sent, and by the path without case among patterns without case. Both must
//! permit it: a spelling cannot leave a narrow rule for a wider one, and a path without a pattern of its own is denied as
//! everywhere.

use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{
    HostPath, PathPattern, Pattern, Policy, Route, Segment, Target, TargetError, settings::PathCase,
};

impl Policy {
    /// Returns the policy for services that treat case so.
    pub(super) fn with_case(mut self, case: PathCase) -> Self {
        if case == PathCase::Sensitive {
            return self;
        }
        self.shadow = self.shadow().map(|shadow| Arc::new(shadow.clone().with_folded_routes()));
        self.with_folded_routes()
    }

    fn with_folded_routes(mut self) -> Self {
        let routes = self.routes().iter().map(Route::folded).collect();
        self.folded = Some(Arc::new(Self::of_routes(routes, self.scopes().to_vec())));
        self
    }

    /// Returns the treatment of case that the policy was compiled for.
    pub(super) fn case(&self) -> PathCase {
        if self.folded().is_some() { PathCase::Insensitive } else { PathCase::Sensitive }
    }
}

impl Route {
    /// Returns the route with a pattern without case.
    pub(super) fn folded(&self) -> Self {
        let path = &self.pattern.host_path.path;
        let segments = path.segments().iter().map(|segment| match segment {
            Segment::Literal(text) => Segment::Literal(folded(text).into()),
            Segment::Parameter(name) => Segment::Parameter(name.clone()),
        });
        let path = PathPattern::new(segments.collect(), path.takes_rest());
        let host_path = HostPath { host: self.pattern.host_path.host.clone(), path };
        let pattern = Pattern { host_path, ..self.pattern.clone() };
        Self::new(self.source.clone(), pattern, Arc::clone(&self.rule), Arc::clone(&self.options))
    }
}

impl Target {
    /// Returns the same request for the path without case.
    pub(super) fn folded(&self) -> Result<Self, TargetError> {
        self.at_path(folded(self.normal_path()))
    }
}

/// Turns the letters of a path in normal form into lower case, encoded ones (`%C3%84`) too.
fn folded(path: &str) -> String {
    let mut folded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (plain, encoded) = rest.split_at(at);
        folded.push_str(&plain.to_ascii_lowercase());
        // The escapes that follow each other, which may be one character.
        let escapes = encoded.as_bytes().chunks(3).take_while(|chunk| matches!(chunk, [b'%', _, _])).count();
        let Some((run, after)) = encoded.split_at_checked(escapes.max(1) * 3) else { break };
        match percent_decode_str(run).decode_utf8() {
            Ok(text) => folded.extend(utf8_percent_encode(&text.to_lowercase(), NON_ALPHANUMERIC)),
            Err(_) => folded.push_str(run),
        }
        rest = after;
    }
    folded.push_str(&rest.to_ascii_lowercase());
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_folded_and_other_escapes_kept() {
        assert_eq!(folded("/Admin/X-1"), "/admin/x-1");
        assert_eq!(folded("/%C3%84rger/A%2FB"), "/%C3%A4rger/a%2Fb");
        assert_eq!(folded("/100%25/Z"), "/100%25/z");
        assert_eq!(folded("/A%FF"), "/a%FF");
    }
}
