//! Tests: the commands that the README and the manual show are commands of this program.

use clap::{Parser, error::ErrorKind};

use super::Arguments;

const PAGES: [(&str, &str); 13] = [
    ("README.md", include_str!("../../README.md")),
    ("CHANGELOG.md", include_str!("../../CHANGELOG.md")),
    ("install.md", include_str!("../manual/install.md")),
    ("kubernetes.md", include_str!("../manual/kubernetes.md")),
    ("mcp.md", include_str!("../manual/mcp.md")),
    ("operations.md", include_str!("../manual/operations.md")),
    ("runbook.md", include_str!("../manual/runbook.md")),
    ("sizing.md", include_str!("../manual/sizing.md")),
    ("reasons.md", include_str!("../manual/reasons.md")),
    ("threats.md", include_str!("../manual/threats.md")),
    ("nginx.md", include_str!("../manual/proxies/nginx.md")),
    ("packaging/debian/README", include_str!("../../packaging/debian/README")),
    ("packaging/systemd/scopegate.service", include_str!("../../packaging/systemd/scopegate.service")),
];

/// A command in a page.
struct Shown {
    command: String,
    /// Inline code may name a command without its arguments.
    is_inline: bool,
}

/// Returns the commands in a page: lines that begin with one, the second half of `… && scopegate …`, and inline code.
/// `cargo run -- …` is the same program.
fn commands(page: &str) -> Vec<Shown> {
    let page = page.replace("cargo run -- ", "scopegate ").replace("sudo scopegate", "scopegate");
    let page = page.replace("ExecStart=/usr/bin/scopegate", "scopegate");
    let mut commands = Vec::new();
    for line in page.lines() {
        for part in line.trim_start().split(" && ") {
            if part.starts_with("scopegate ") && !part.starts_with("scopegate (") {
                commands.push(Shown { command: part.to_owned(), is_inline: false });
            }
        }
        // Table cells and sentences; synopses with brackets and dots are not commands.
        for code in line.split('`').skip(1).step_by(2) {
            if code.starts_with("scopegate ") && !code.contains(['[', '…', '|']) {
                commands.push(Shown { command: code.to_owned(), is_inline: true });
            }
        }
    }
    commands
}

/// Splits a command into words as a shell does; a comment, a redirection or a pipe ends it.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut depth = 0;
    for character in command.chars() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '(' | ')') => {
                depth += if character == '(' { 1 } else { -1 };
                word.get_or_insert_default().push(character);
            }
            (None, '#' | '>' | '|') if word.is_none() && depth == 0 => break,
            (None, space) if space.is_whitespace() && depth == 0 => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// Returns `true` for a line of prose that begins with the program's name.
fn is_prose(words: &[String]) -> bool {
    let prose = ["is", "on", "has", "then", "then:", "answers", "reads", "needs", "and", "before", "beside"];
    words.get(1).is_some_and(|word| prose.contains(&word.as_str()))
}

#[test]
fn every_command_of_the_documentation_parses() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (name, page) in PAGES {
        for Shown { command, is_inline } in commands(page) {
            let words = words(&command);
            if words.len() < 2 || is_prose(&words) {
                continue;
            }
            count += 1;
            let Err(error) = Arguments::try_parse_from(&words) else { continue };
            let lacks_arguments = matches!(
                error.kind(),
                ErrorKind::MissingRequiredArgument
                    | ErrorKind::MissingSubcommand
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            );
            if error.use_stderr() && !(is_inline && lacks_arguments) {
                wrong.push(format!("{name}: `{command}`\n{error}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 20, "only {count} commands were found");
}

#[test]
fn words_are_those_of_a_shell() {
    let command = "scopegate scope put reports --route \"GET /reports/**\" > a  # every file";
    assert_eq!(words(command), ["scopegate", "scope", "put", "reports", "--route", "GET /reports/**"]);
    assert_eq!(
        words("scopegate store backup /b-$(date +%F).db"),
        ["scopegate", "store", "backup", "/b-$(date +%F).db"]
    );
}
