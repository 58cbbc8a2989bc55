//! Problems of a document or of a value in it.

use super::{
    location::Location,
    tree::{Step, path_text},
};

/// Something that is wrong, where it stands, and the path of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The problem.
    pub problem: Problem,
    /// The location.
    pub location: Location,
    /// The path of the key, such as `server.listen` or `routes[2].match`; empty for a whole document.
    pub key: String,
}

impl Diagnostic {
    /// A diagnostic at `path`.
    pub fn new(problem: Problem, location: Location, path: &[Step]) -> Self {
        Self { problem, location, key: path_text(path) }
    }
}

/// A problem of a document or of a value in it. No variant holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It is not YAML.
    #[error("{message}")]
    Syntax {
        /// The parser's message.
        message: String,
    },
    /// A key stands twice.
    #[error("`{key}` stands twice; it was given first at {first}")]
    DuplicateKey {
        /// The key.
        key: String,
        /// The location of the first one.
        first: Location,
    },
    /// A key that has no meaning there.
    #[error("unknown key `{key}`{}", suggestion(nearest.as_deref(), known))]
    UnknownKey {
        /// The key.
        key: String,
        /// The known key that is written most alike.
        nearest: Option<String>,
        /// Every key that has a meaning there.
        known: Vec<String>,
    },
    /// A value of another type than expected.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// The expected value.
        expected: String,
        /// The text that was found.
        found: String,
    },
    /// A word that is not among the choices.
    #[error("unknown value `{found}`{}", suggestion(nearest.as_deref(), choices))]
    UnknownChoice {
        /// The text that was found.
        found: String,
        /// The choice that is written most alike.
        nearest: Option<String>,
        /// The choices.
        choices: Vec<String>,
    },
    /// A key that must be there is not.
    #[error("`{key}` is missing")]
    Missing {
        /// The key.
        key: String,
    },
    /// A value that its own parser refuses; the message says what was expected.
    #[error("{message}")]
    Invalid {
        /// The parser's message.
        message: String,
    },
}

fn suggestion(nearest: Option<&str>, known: &[String]) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None if known.is_empty() => "; no key is known here".to_owned(),
        None => format!("; expected {}", one_of(known)),
    }
}

/// `` `a`, `b` or `c` ``.
pub fn one_of<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{}`", word.as_ref())).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// The word of `known` that is written most like `word`, if any is alike.
pub fn nearest<S: AsRef<str>>(word: &str, known: &[S]) -> Option<String> {
    let word = plain(word);
    let scored = known.iter().map(|known| (strsim::jaro_winkler(&word, &plain(known.as_ref())), known));
    let (score, best) = scored.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (score >= 0.82).then(|| best.as_ref().to_owned())
}

fn plain(text: &str) -> String {
    text.to_lowercase().replace('-', "_")
}

impl Problem {
    /// An unknown key, with the nearest of those that are known.
    pub fn unknown_key<S: AsRef<str>>(key: &str, known: &[S]) -> Self {
        let known_keys = known.iter().map(|known| known.as_ref().to_owned()).collect();
        Self::UnknownKey { key: key.to_owned(), nearest: nearest(key, known), known: known_keys }
    }

    /// A word that is none of the choices, with the nearest of them.
    pub fn unknown_choice<S: AsRef<str>>(found: &str, choices: &[S]) -> Self {
        let names = choices.iter().map(|choice| choice.as_ref().to_owned()).collect();
        Self::UnknownChoice { found: found.to_owned(), nearest: nearest(found, choices), choices: names }
    }

    /// The problem's name for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "syntax",
            Self::DuplicateKey { .. } => "duplicate_key",
            Self::UnknownKey { .. } => "unknown_key",
            Self::WrongType { .. } => "wrong_type",
            Self::UnknownChoice { .. } => "unknown_choice",
            Self::Missing { .. } => "missing",
            Self::Invalid { .. } => "invalid",
        }
    }
}
