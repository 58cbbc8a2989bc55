//! Reads a type from a part of the tree; goes on behind an error to find the next one.

use serde::de::DeserializeOwned;

use super::{
    de::Reader,
    diagnostic::{Diagnostic, Problem, nearest},
    tree::{Node, Step, Value},
};

/// The most errors that are reported of one part.
const MOST: usize = 20;

/// Reads a `T` from `node`, which stands at `base`. What is wrong goes to `errors`, and then there is no `T`.
pub fn read<T: DeserializeOwned>(node: &Node, base: &[Step], errors: &mut Vec<Diagnostic>) -> Option<T> {
    let mut rest = node.clone();
    let mut taken: Vec<Vec<Step>> = node.redacted_paths();
    while taken.len() < MOST {
        let error = match T::deserialize(Reader(&rest)) {
            Ok(value) if taken.is_empty() => return Some(value),
            Ok(_) => return None,
            Err(error) => error,
        };
        let (problem, mut path, of_key) = error.into_parts();
        if taken.contains(&path) && path.pop().is_some() {
            // The value of a variant, without which the variant cannot be read either.
            if path.is_empty() || !rest.redact(&path) {
                return None;
            }
            taken.push(path);
            continue;
        }
        path.extend(named_key(&problem, rest.nearest(&path).0));
        if follows_from(&problem, &path, &taken) {
            return None;
        }
        let full: Vec<Step> = base.iter().chain(&path).cloned().collect();
        errors.push(Diagnostic::new(problem, node.location_of(&path, of_key).clone(), &full));
        if path.is_empty() || !rest.redact(&path) {
            return None;
        }
        taken.push(path);
    }
    None
}

/// A parser that sees a whole map says in its message which key it means, in backticks.
fn named_key(problem: &Problem, node: &Node) -> Option<Step> {
    let Problem::Invalid { message } = problem else { return None };
    let Value::Map(_) = node.value else { return None };
    let quoted = message.split('`').skip(1).step_by(2);
    let mut keys = quoted.filter_map(|word| word.split(['.', ':']).next());
    keys.find(|key| node.get(key).is_some_and(|value| !value.is_redacted()))
        .map(|key| Step::Key(key.to_owned()))
}

/// Returns `true` if an error only follows from a value that was redacted.
fn follows_from(problem: &Problem, path: &[Step], taken: &[Vec<Step>]) -> bool {
    let below = |taken: &&Vec<Step>| taken.len() > path.len() && taken.starts_with(path);
    let mut gone = taken.iter().filter(below).filter_map(|taken| taken.get(path.len()));
    match problem {
        Problem::Missing { key } => gone.any(
            |step| matches!(step, Step::Key(gone) if nearest(gone, std::slice::from_ref(key)).is_some()),
        ),
        _ => gone.next().is_some(),
    }
}
