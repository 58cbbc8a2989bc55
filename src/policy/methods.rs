//! Sets of HTTP methods, closed under complement because a pattern without a method names every one.

use std::fmt;

use http::Method;

/// A set of methods, compared byte for byte: `get` is not `GET` (RFC 9110, section 9.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Methods {
    /// These.
    Only(Box<[Method]>),
    /// Every method but these, an empty list meaning every method.
    Except(Box<[Method]>),
}

impl Methods {
    /// Every method.
    pub fn all() -> Self {
        Self::Except(Box::default())
    }

    /// These methods.
    pub fn only(methods: impl IntoIterator<Item = Method>) -> Self {
        Self::Only(sorted(methods))
    }

    /// Whether `method` is in the set.
    pub fn contains(&self, method: &Method) -> bool {
        match self {
            Self::Only(these) => these.contains(method),
            Self::Except(these) => !these.contains(method),
        }
    }

    /// Whether no method is in the set.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Only(these) if these.is_empty())
    }

    /// Whether some method is in both sets.
    pub fn intersects(&self, other: &Self) -> bool {
        !self.and(other).is_empty()
    }

    /// The methods in both sets.
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

    /// The set with one method more.
    #[must_use]
    pub fn with(&self, method: Method) -> Self {
        match self {
            Self::Only(these) => Self::only(these.iter().cloned().chain([method])),
            Self::Except(these) => {
                Self::Except(these.iter().filter(|one| **one != method).cloned().collect())
            }
        }
    }

    /// The set without some methods.
    #[must_use]
    pub fn without(&self, methods: &[Method]) -> Self {
        self.and(&Self::Except(sorted(methods.iter().cloned())))
    }

    /// The methods by which the set is written: those in it, or those that are not.
    pub fn named(&self) -> &[Method] {
        match self {
            Self::Only(these) | Self::Except(these) => these,
        }
    }
}

fn sorted(methods: impl IntoIterator<Item = Method>) -> Box<[Method]> {
    let mut methods: Vec<Method> = methods.into_iter().collect();
    methods.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    methods.dedup();
    methods.into()
}

impl fmt::Display for Methods {
    /// `GET|HEAD`, `*` for every method, `*-GET` for all but one.
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
    }
}
