//! What was found, as a table that people and Markdown can read.

use std::fmt::{self, Display, Write};

use crate::load::Outcome;

/// All that a run found.
#[derive(Default)]
pub(crate) struct Report {
    sections: Vec<Section>,
}

/// A scenario: what each contender did, and the ratios that are asked of them.
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

/// What a figure has to reach.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// So much, or more.
    AtLeast(f64),
    /// Less than so much.
    Under(f64),
    /// It is told, nothing is asked of it.
    None,
}

impl Section {
    /// A scenario without findings yet.
    pub(crate) fn new(title: &str) -> Self {
        eprintln!("== {title}");
        Self { title: title.to_owned(), ..Self::default() }
    }

    /// Adds what a contender did.
    pub(crate) fn contender(&mut self, name: &str, outcome: Outcome) {
        eprintln!("   {name}: {:.0}/s", outcome.rate);
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

    /// Everything as Markdown.
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
                "| who | answers/s | per second of processor | median ms | 99 % ms | refused | broken |"
            )?;
            writeln!(f, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")?;
        }
        for (name, found) in &self.contenders {
            let Outcome { rate, per_cpu, refused, broken, median, slow } = found;
            let share = refused * 100.0;
            writeln!(
                f,
                "| {name} | {rate:.0} | {per_cpu:.0} | {median:.2} | {slow:.2} | {share:.0} % | {broken} |"
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
