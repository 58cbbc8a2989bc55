//! Patterns from their written form: `METHOD[|METHOD] [host]/path`.

use http::Method;

use super::{
    super::{HostError, Methods, TargetError, host, methods, path},
    HostPath, HostPattern, PathPattern, Pattern, Segment,
};

/// Errors of a text that is not a pattern, with the text to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// Not one or two words.
    #[error("expected `METHOD[|METHOD] [host]/path`, such as `GET /items/**`, found `{found}`")]
    Shape {
        /// The text.
        found: Box<str>,
    },
    /// Not a method.
    #[error("`{found}` is not a method: expected one or more of `GET`, `POST`, …, with `|` between them")]
    Method {
        /// The text in place of a method.
        found: Box<str>,
    },
    /// Methods are compared with case.
    #[error("methods are written in capitals: write `{}`", found.to_ascii_uppercase())]
    MethodCase {
        /// The text.
        found: Box<str>,
    },
    /// A word for every method.
    #[error("`{found}` is not a method: leave the method out for every method")]
    EveryMethod {
        /// The word.
        found: Box<str>,
    },
    /// Not a method of the IANA registry.
    #[error(
        "unknown method `{found}`{}; leave the method out for every method",
        nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
    )]
    UnknownMethod {
        /// The method.
        found: Box<str>,
        /// The registered method that is written most alike.
        nearest: Option<&'static str>,
    },
    /// `CONNECT`, which is never served.
    #[error("no request with the method CONNECT is ever served, so this can never match")]
    Connect,
    /// No path.
    #[error(
        "expected a path that begins with `/`: write `/{found}` for a path, `{found}/**` for a whole host"
    )]
    NoPath {
        /// The text.
        found: Box<str>,
    },
    /// A URL.
    #[error("a pattern holds no scheme: write `{rest}`")]
    Scheme {
        /// The text behind the scheme.
        rest: Box<str>,
    },
    /// Not a host.
    #[error("`{found}` is not a host: {source}")]
    Host {
        /// The text.
        found: Box<str>,
        /// The error.
        source: HostError,
    },
    /// `*` elsewhere than as the first label.
    #[error(
        "in a host `*` may only be the whole first label, as in `*.example.com`; leave the host out for any host"
    )]
    HostWildcard,
    /// A port.
    #[error("the port is not compared: write `{host}` without it")]
    HostPort {
        /// The host alone.
        host: Box<str>,
    },
    /// A query.
    #[error("the query is never compared: leave out `?` and what follows")]
    Query,
    /// `**` elsewhere than at the end.
    #[error("`**` may only be the last segment")]
    RestNotLast,
    /// A `*` in a segment.
    #[error("`{found}`: write `{{name}}` for one segment of any text, `**` as the last for zero or more")]
    Star {
        /// The segment.
        found: Box<str>,
    },
    /// A `{` or `}` that does not enclose a whole segment with a name in it.
    #[error(
        "`{found}`: a parameter is a whole segment with a name of letters, digits, `_` and `-`, as `{{name}}`"
    )]
    Parameter {
        /// The segment.
        found: Box<str>,
    },
    /// `:name`.
    #[error(
        "`:{name}`: write `{{{name}}}` for one segment of any text, or `%3A{name}` if it begins with a colon"
    )]
    Colon {
        /// The text behind the colon.
        name: Box<str>,
    },
    /// An empty segment.
    #[error("the path holds an empty segment (`//`), which no request is decided by")]
    EmptySegment,
    /// A literal that no accepted request holds.
    #[error("`{found}` can never match: {source}")]
    Literal {
        /// The segment.
        found: Box<str>,
        /// The error.
        source: TargetError,
    },
    /// A literal with an irregularity.
    #[error(
        "`{found}` can never match as a literal: write `{{name}}`, and name in `accept:` what is irregular"
    )]
    Irregular {
        /// The segment.
        found: Box<str>,
    },
    /// More segments than [`PathPattern::MAX_SEGMENTS`].
    #[error("a path pattern has at most {} segments", PathPattern::MAX_SEGMENTS)]
    TooLong,
}

impl Pattern {
    /// Parses `METHOD[|METHOD] [host]/path`; without a method it is every method.
    ///
    /// ```
    /// use scopegate::policy::Pattern;
    ///
    /// let pattern = Pattern::parse("GET|POST *.example.com/ledger/{year}")?;
    /// assert_eq!(pattern.to_string(), "GET|POST *.example.com/ledger/{year}");
    /// assert!(Pattern::parse("/items/{id").is_err());
    /// # Ok::<(), scopegate::policy::PatternError>(())
    /// ```
    ///
    /// # Errors
    /// [`PatternError`] says what to write instead.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let mut words = text.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(host_path), None, None) => {
                Ok(Self { methods: Methods::all(), host_path: HostPath::parse(host_path)?, mcp: None })
            }
            (Some(methods), Some(host_path), None) => Ok(Self {
                methods: parse_methods(methods.split('|'))?,
                host_path: HostPath::parse(host_path)?,
                mcp: None,
            }),
            _ => Err(PatternError::Shape { found: text.into() }),
        }
    }

    /// From the parts of the long form: no methods are every method.
    ///
    /// # Errors
    /// As [`Pattern::parse`].
    pub fn from_parts(methods: &[String], host: Option<&str>, path: &str) -> Result<Self, PatternError> {
        let methods = if methods.is_empty() {
            Methods::all()
        } else {
            parse_methods(methods.iter().map(String::as_str))?
        };
        let host = host.map_or(Ok(HostPattern::Any), HostPattern::parse)?;
        Ok(Self { methods, host_path: HostPath { host, path: PathPattern::parse(path)? }, mcp: None })
    }
}

impl HostPath {
    fn parse(text: &str) -> Result<Self, PatternError> {
        if let Some((_, rest)) = text.split_once("://") {
            return Err(PatternError::Scheme { rest: rest.into() });
        }
        let start = text.find('/').ok_or_else(|| PatternError::NoPath { found: text.into() })?;
        let (host, path) = text.split_at_checked(start).unwrap_or_default();
        let host = if host.is_empty() { HostPattern::Any } else { HostPattern::parse(host)? };
        Ok(Self { host, path: PathPattern::parse(path)? })
    }
}

impl HostPattern {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let wildcard = text.strip_prefix("*.");
        let name = wildcard.unwrap_or(text);
        if name.contains('*') {
            return Err(PatternError::HostWildcard);
        }
        match host::parse_authority(name.as_bytes()) {
            Ok((_, Some(_))) => Err(PatternError::HostPort {
                host: text.rsplit_once(':').map_or(text, |(host, _)| host).into(),
            }),
            Ok((name, None)) if wildcard.is_some() && name.starts_with('[') => {
                Err(PatternError::Host { found: text.into(), source: HostError::Grammar })
            }
            Ok((name, None)) => Ok(if wildcard.is_some() { Self::Wildcard(name) } else { Self::Exact(name) }),
            Err(source) => Err(PatternError::Host { found: text.into(), source }),
        }
    }
}

impl PathPattern {
    /// Parses a path pattern, which begins with `/`. A final slash means nothing.
    ///
    /// # Errors
    /// As [`Pattern::parse`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let inner = text.strip_prefix('/').ok_or_else(|| PatternError::NoPath { found: text.into() })?;
        if inner.contains('?') {
            return Err(PatternError::Query);
        }
        let inner = inner.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(inner);
        let (inner, rest) = match inner.strip_suffix("**") {
            Some("") => ("", true),
            Some(before) if before.ends_with('/') => (before.strip_suffix('/').unwrap_or(before), true),
            _ => (inner, false),
        };
        let named = !inner.is_empty() || (rest && text.starts_with("//"));
        let segments: Vec<Segment> =
            inner.split('/').filter(|_| named).map(Segment::parse).collect::<Result<_, _>>()?;
        if segments.len() > Self::MAX_SEGMENTS {
            return Err(PatternError::TooLong);
        }
        Ok(Self { segments: segments.into(), rest })
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "**" {
            return Err(PatternError::RestNotLast);
        }
        if text.is_empty() {
            return Err(PatternError::EmptySegment);
        }
        if let Some(name) = text.strip_prefix(':') {
            return Err(PatternError::Colon { name: name.into() });
        }
        if text.contains('*') {
            return Err(PatternError::Star { found: text.into() });
        }
        if text.contains(['{', '}']) {
            let name =
                text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).filter(|name| is_name(name));
            return name
                .map(|name| Self::Parameter(name.into()))
                .ok_or_else(|| PatternError::Parameter { found: text.into() });
        }
        Self::literal(text)
    }

    fn literal(text: &str) -> Result<Self, PatternError> {
        let path = format!("/{}", escape_non_ascii(text));
        let normal = path::normalise(path.as_bytes())
            .map_err(|source| PatternError::Literal { found: text.into(), source })?;
        if !normal.irregularities.is_empty() {
            return Err(PatternError::Irregular { found: text.into() });
        }
        let normal = normal.rewritten.unwrap_or_else(|| path.into());
        Ok(Self::Literal(normal.strip_prefix('/').unwrap_or(&normal).into()))
    }
}

/// People write `/café` into a configuration; requests carry `/caf%C3%A9`.
fn escape_non_ascii(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::CONTROLS).to_string()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn parse_methods<'a>(names: impl Iterator<Item = &'a str>) -> Result<Methods, PatternError> {
    names.map(parse_method).collect::<Result<Vec<_>, _>>().map(Methods::only)
}

fn parse_method(name: &str) -> Result<Method, PatternError> {
    let found = name.into();
    let upper = name.to_ascii_uppercase();
    if matches!(&*upper, "*" | "ANY" | "ALL" | "EVERY") {
        return Err(PatternError::EveryMethod { found });
    }
    if upper == "CONNECT" {
        return Err(PatternError::Connect);
    }
    if methods::registered().any(|registered| registered == upper) {
        let method = Method::from_bytes(name.as_bytes()).ok().filter(|_| upper == name);
        return method.ok_or(PatternError::MethodCase { found });
    }
    if !name.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return Err(PatternError::Method { found });
    }
    let limit = if name.len() > 5 { 2 } else { 1 };
    let scored = methods::registered().map(|known| (strsim::damerau_levenshtein(&upper, known), known));
    let nearest = scored.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance);
    Err(PatternError::UnknownMethod { found, nearest: nearest.map(|(_, known)| known) })
}
