//! The findings, as Markdown tables.

use std::fmt::{self, Display, Write};

use crate::load::Outcome;

/// The findings of a run.
#[derive(Default)]
pub(crate) struct Report {
    sections: Vec<Section>,
}

/// A scenario: the outcome of each contender, and the ratios.
#[derive(Default)]
pub(crate) struct Section {
    title: String,
    contenders: Vec<(String, Outcome)>,
    figures: Vec<Figure>,
    absent: Vec<String>,
}

struct Figure {
    name: String,
    value: f64,
    limit: Limit,
    unit: &'static str,
}

/// The limit of a figure.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// At least this.
    AtLeast(f64),
    /// Less than this.
    Under(f64),
    /// No limit.
    None,
}

impl Section {
    /// Returns a scenario without findings.
    pub(crate) fn new(title: &str) -> Self {
        eprintln!("== {title}");
        Self { title: title.to_owned(), ..Self::default() }
    }

    /// Adds the outcome of a contender.
    pub(crate) fn contender(&mut self, name: &str, outcome: Outcome) {
        eprintln!("   {name}: {:.2} µs, {:.0}/s", outcome.micros, outcome.rate);
        self.contenders.push((name.to_owned(), outcome));
    }

    /// Adds that a contender could not be started.
    pub(crate) fn absent(&mut self, name: &str, why: &str) {
        eprintln!("   {name}: {why}");
        let first = why.lines().next().unwrap_or_default();
        self.absent.push(format!("{name} was not measured: {first}"));
    }

    /// Adds a ratio.
    pub(crate) fn ratio(&mut self, name: &str, value: f64, limit: Limit) {
        self.figure(name, value, "", limit);
    }

    /// Adds a figure with a unit.
    pub(crate) fn figure(&mut self, name: &str, value: f64, unit: &'static str, limit: Limit) {
        eprintln!("   {name}: {value:.3}{unit} {limit}");
        self.figures.push(Figure { name: name.to_owned(), value, limit, unit });
    }
}

impl Report {
    /// Adds a scenario.
    pub(crate) fn add(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// Returns everything as Markdown.
    pub(crate) fn markdown(&self, heading: &str) -> String {
        let mut text = format!("{heading}\n");
        for section in &self.sections {
            // Writing into a string cannot fail.
            let _ = write!(text, "\n{section}");
        }
        text
    }
}

impl Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        if !self.contenders.is_empty() {
            writeln!(
                f,
                "| server | processor µs | answers/s | median ms | 99 % ms | refused | broken | opened |"
            )?;
            writeln!(f, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
        }
        for (name, found) in &self.contenders {
            let Outcome { rate, micros, refused, broken, opened, median, slow } = found;
            let share = refused * 100.0;
            writeln!(
                f,
                "| {name} | {micros:.2} | {rate:.0} | {median:.2} | {slow:.2} | {share:.0} % | {broken} | {opened} |"
            )?;
        }
        if !self.figures.is_empty() {
            writeln!(f, "\n| figure | found | asked | |\n| --- | ---: | ---: | --- |")?;
        }
        for Figure { name, value, limit, unit } in &self.figures {
            let verdict = limit.verdict(*value);
            writeln!(f, "| {name} | {value:.2}{unit} | {limit}{} | {verdict} |", limit.unit(unit))?;
        }
        self.absent.iter().try_for_each(|line| writeln!(f, "\n{line}"))
    }
}

impl Limit {
    fn verdict(self, value: f64) -> &'static str {
        match self {
            Self::AtLeast(limit) if value < limit => "missed",
            Self::Under(limit) if value >= limit => "missed",
            Self::AtLeast(_) | Self::Under(_) => "holds",
            Self::None => "",
        }
    }

    fn unit(self, unit: &'static str) -> &'static str {
        if matches!(self, Self::None) { "" } else { unit }
    }
}

impl Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(limit) => write!(f, "≥ {limit}"),
            Self::Under(limit) => write!(f, "< {limit}"),
            Self::None => Ok(()),
        }
    }
}
