//! Errors of deserialization, with the path to the value.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::super::{diagnostic::Problem, tree::Step};

/// A problem, and the path to it from the value that was read, last step first.
#[derive(Debug)]
pub(crate) struct ReadError {
    problem: Problem,
    reversed: Vec<Step>,
    of_key: bool,
}

impl ReadError {
    pub(super) fn new(problem: Problem) -> Self {
        Self { problem, reversed: Vec::new(), of_key: false }
    }

    pub(super) fn under(mut self, step: Step) -> Self {
        self.reversed.push(step);
        self
    }

    /// The same, below a key, which is meant rather than its value.
    pub(super) fn of_key(self, key: &str) -> Self {
        Self { of_key: true, ..self.under(Step::Key(key.to_owned())) }
    }

    /// Returns the problem, the path to it, and `true` if the key rather than the value is meant.
    pub(crate) fn into_parts(mut self) -> (Problem, Vec<Step>, bool) {
        self.reversed.reverse();
        (self.problem, self.reversed, self.of_key)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.problem, f)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Problem::Invalid { message: message.to_string() })
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Problem::WrongType { expected: plain_words(expected), found: found_words(found) })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(found: usize, expected: &dyn Expected) -> Self {
        Self::new(Problem::WrongType { expected: plain_words(expected), found: format!("{found} values") })
    }

    fn unknown_variant(found: &str, choices: &'static [&'static str]) -> Self {
        Self::new(Problem::unknown_choice(found, choices))
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::new(Problem::unknown_key(key, known))
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Problem::Missing { key: key.to_owned() })
    }
}

fn plain_words(expected: &dyn Expected) -> String {
    let words = expected.to_string();
    match words.as_str() {
        "a boolean" => "`true` or `false`".to_owned(),
        "a string" | "string" | "str" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" | "u64" | "u128" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        other if other.starts_with("struct ") => "a map".to_owned(),
        _ => words,
    }
}

fn found_words(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("the number `{value}`"),
        Unexpected::Signed(value) => format!("the number `{value}`"),
        Unexpected::Float(value) => format!("the number `{value}`"),
        Unexpected::Str(text) => format!("the text {}", scopegate_provider::Excerpt::new(text)),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map | Unexpected::StructVariant => "a map".to_owned(),
        other => other.to_string(),
    }
}
