//! The corpus of hostile tokens: every row is refused, for exactly the reason that it names.

mod claims;
mod encodings;
mod headers;
mod keys;

use scopegate_provider::{BearerToken, Rejection};

use crate::desk::{Desk, NOW};

/// A token that must be refused.
pub(crate) struct Row {
    /// What is wrong with it.
    what: &'static str,
    /// Who says that it is wrong.
    source: &'static str,
    token: String,
    expected: Rejection,
}

fn row(what: &'static str, source: &'static str, token: impl Into<String>, expected: Rejection) -> Row {
    Row { what, source, token: token.into(), expected }
}

/// Every row against one desk, with what is wrong with the outcome.
fn refuse_all(desk: &Desk, rows: &[Row]) {
    let wrong: Vec<String> = rows.iter().filter_map(|row| complaint(desk, row)).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

fn complaint(desk: &Desk, row: &Row) -> Option<String> {
    let outcome = match BearerToken::parse(&row.token) {
        Ok(token) => desk.verify_bearer(&token, NOW),
        Err(error) => panic!("{}: not even a bearer token: {error}", row.what),
    };
    match outcome {
        Err(rejection) if rejection == row.expected => None,
        Err(rejection) => {
            Some(format!("{} ({}): {rejection:?}, not {:?}", row.what, row.source, row.expected))
        }
        Ok(_) => Some(format!("{} ({}): accepted", row.what, row.source)),
    }
}

#[test]
fn the_corpus_holds_at_least_four_hundred_tokens() {
    let desk = Desk::new();
    let rows = headers::rows(&desk).len()
        + claims::rows(&desk).len()
        + encodings::rows(&desk).len()
        + keys::rows(&desk).len();
    assert!(rows >= 400, "{rows}");
}
