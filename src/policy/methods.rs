//! Sets of HTTP methods, closed under complement because a pattern without a method names nearly every one.

use std::fmt;

use http::Method;

/// The methods of the IANA registry, without `CONNECT`, which is never served, and without `*` and `PRI`, which no
/// request has. The usual ones come first.
const REGISTERED: [&str; 38] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "QUERY",
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PROPFIND",
    "PROPPATCH",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// The methods of RFC 9110 and RFC 5789 that a pattern without a method names, for `Allow`.
pub(super) const COMMON: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// A set of methods, compared byte for byte: `get` is not `GET` (RFC 9110, section 9.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Methods {
    /// These.
    Only(Box<[Method]>),
    /// Every registered method but these and `TRACE`, which sends a request's credentials back to its caller.
    Except(Box<[Method]>),
}

/// Returns the registered methods that a pattern may name.
pub(super) fn registered() -> impl Iterator<Item = &'static str> {
    REGISTERED.into_iter()
}

impl Methods {
    /// The methods of a pattern that names none.
    pub fn all() -> Self {
        Self::Except(Box::default())
    }

    /// The set of these methods.
    pub fn only(methods: impl IntoIterator<Item = Method>) -> Self {
        Self::Only(sorted(methods))
    }

    /// Returns `true` if `method` is in the set.
    pub fn contains(&self, method: &Method) -> bool {
        match self {
            Self::Only(these) => these.contains(method),
            Self::Except(these) => !these.contains(method) && is_open(method),
        }
    }

    /// Returns `true` if no method is in the set.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Only(these) if these.is_empty())
    }

    /// Returns `true` if some method is in both sets.
    pub fn intersects(&self, other: &Self) -> bool {
        !self.and(other).is_empty()
    }

    /// Returns the methods in both sets.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Only(these), set) | (set, Self::Only(these)) => {
                Self::only(these.iter().filter(|method| set.contains(method)).cloned())
            }
            (Self::Except(left), Self::Except(right)) => {
                Self::Except(sorted(left.iter().chain(right).cloned()))
            }
        }
    }

    /// Returns the set with one method more.
    #[must_use]
    pub fn with(&self, method: Method) -> Self {
        match self {
            Self::Only(these) => Self::only(these.iter().cloned().chain([method])),
            Self::Except(these) => {
                Self::Except(these.iter().filter(|one| **one != method).cloned().collect())
            }
        }
    }

    /// Returns the set without some methods.
    #[must_use]
    pub fn without(&self, methods: &[Method]) -> Self {
        match self {
            Self::Only(these) => Self::only(these.iter().filter(|one| !methods.contains(one)).cloned()),
            Self::Except(these) => Self::Except(sorted(these.iter().chain(methods).cloned())),
        }
    }

    /// Returns the methods in this set that are not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        match (self, other) {
            (_, Self::Only(those)) => self.without(those),
            (Self::Only(these), Self::Except(_)) => {
                Self::only(these.iter().filter(|method| !other.contains(method)).cloned())
            }
            (Self::Except(own), Self::Except(others)) => {
                Self::only(others.iter().filter(|method| !own.contains(method)).cloned())
            }
        }
    }

    /// The methods by which the set is written: those in it, or those that are not.
    pub fn named(&self) -> &[Method] {
        match self {
            Self::Only(these) | Self::Except(these) => these,
        }
    }
}

/// Returns `true` for a method that a pattern without a method names.
fn is_open(method: &Method) -> bool {
    // Nearly every request has one of the first.
    COMMON.contains(method) || (registered().any(|name| name == method.as_str()) && *method != Method::TRACE)
}

fn sorted(methods: impl IntoIterator<Item = Method>) -> Box<[Method]> {
    let mut methods: Vec<Method> = methods.into_iter().collect();
    methods.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    methods.dedup();
    methods.into()
}

impl fmt::Display for Methods {
    /// `GET|HEAD`, `*` for a pattern that names none, `*-GET` for all but one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, separator) = match self {
            Self::Only(_) => ("", "|"),
            Self::Except(_) => ("*", "-"),
        };
        f.write_str(start)?;
        for (index, method) in self.named().iter().enumerate() {
            f.write_str(if index > 0 || !start.is_empty() { separator } else { "" })?;
            f.write_str(method.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_every_method_but_some_behave_like_sets() {
        let reading = Methods::only([Method::HEAD, Method::GET]);
        let writing = Methods::all().without(&[Method::GET, Method::HEAD]);
        assert!(!reading.intersects(&writing) && writing.contains(&Method::POST));
        assert_eq!(writing.with(Method::GET).and(&reading), Methods::only([Method::GET]));
        assert!(Methods::all().intersects(&writing));
        assert_eq!([reading.to_string(), writing.to_string()], ["GET|HEAD", "*-GET-HEAD"]);
        assert_eq!(Methods::all().minus(&writing), Methods::only([Method::GET, Method::HEAD]));
    }

    /// A22: TRACE, unregistered methods and other spellings are in no set that names no method.
    #[test]
    fn a_pattern_without_a_method_names_the_registered_ones_but_trace() {
        for (name, open) in [
            ("GET", true),
            ("PROPFIND", true),
            ("TRACE", false),
            ("get", false),
            ("FOO", false),
            ("PRI", false),
        ] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(Methods::all().contains(&method), open, "{name}");
        }
        assert!(Methods::only([Method::TRACE]).contains(&Method::TRACE));
    }
}
