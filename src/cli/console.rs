//! The output of commands: aligned text and colour for people, JSON for machines.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// The output of a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Console {
    json: bool,
    paint: Paint,
}

/// Colours text, on a terminal that may show colour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(bool);

impl Console {
    /// Colour only on a terminal and without `NO_COLOR` (no-color.org).
    pub(super) fn new(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, paint: Paint(!json && wanted && io::stdout().is_terminal()) }
    }

    /// Prints a value as JSON for machines, or what `text` writes for people.
    pub(super) fn show<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&mut dyn Write, Paint) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, value)?;
            writeln!(out)?;
        } else {
            text(&mut out, self.paint)?;
        }
        out.flush()
    }

    /// Prints a value as one line: JSON for machines, or `text` for people.
    pub(super) fn line<T: Serialize>(self, value: &T, text: impl FnOnce(Paint) -> String) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, value)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", text(self.paint))?;
        }
        out.flush()
    }

    /// Prints the progress of a command that takes time, to people only.
    pub(super) fn progress(self, text: &str) {
        if !self.json && io::stderr().is_terminal() {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Prints what a command did not look at, to people and machines alike on standard error.
    pub(super) fn note(text: Option<&str>) {
        if let Some(text) = text {
            // If standard error is closed, nothing can be done about it.
            let _ = writeln!(io::stderr(), "note: {text}");
        }
    }

    /// Prints what went wrong: to people on standard error, to machines as JSON on standard output.
    pub(super) fn complain<T: Serialize>(self, value: &T, text: &str) {
        // There is nobody to tell that nobody listens.
        let _ = if self.json { self.show(value, |_, _| Ok(())) } else { writeln!(io::stderr(), "{text}") };
    }
}

impl Paint {
    /// Returns no colour.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self(false)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(super) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(super) fn warning(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.with("2", text)
    }
}

/// Writes rows with their columns aligned.
pub(super) fn table<const N: usize>(out: &mut dyn Write, rows: &[[String; N]]) -> io::Result<()> {
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let room = width(column).unwrap_or_default();
            line = format!("{line}{cell:room$}  ");
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_without_spaces() {
        let mut out = Vec::new();
        let rows = [["a".to_owned(), "bc".to_owned()], ["def".to_owned(), String::new()]];
        table(&mut out, &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a    bc\ndef\n");
    }

    #[test]
    fn without_colour_text_is_as_it_is() {
        assert_eq!(Paint(false).bad("x"), "x");
        assert_eq!(Paint(true).bad("x"), "\x1b[31mx\x1b[0m");
    }
}
