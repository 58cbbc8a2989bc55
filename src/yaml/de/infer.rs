//! The type of a scalar where no type is asked for.

/// The type of a plain scalar where no type is asked for (YAML 1.2 core schema; a number with leading zeros is text).
pub(super) enum Inferred<'a> {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'a str),
}

pub(super) fn infer(text: &str) -> Inferred<'_> {
    match text {
        "true" | "True" | "TRUE" => return Inferred::Bool(true),
        "false" | "False" | "FALSE" => return Inferred::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
    if !numeric || leading_zero {
        return Inferred::Text(text);
    }
    if let Ok(number) = text.parse() {
        return Inferred::Unsigned(number);
    }
    if let Ok(number) = text.parse() {
        return Inferred::Signed(number);
    }
    text.parse().map_or(Inferred::Text(text), Inferred::Float)
}
