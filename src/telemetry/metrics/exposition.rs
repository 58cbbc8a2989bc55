//! Prometheus' text format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).

use std::fmt::{self, Display, Write};

use super::Histogram;

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// The numbers of values below each bound.
    Histogram,
    /// The number of values, and their sum.
    Summary,
}

/// A page of metrics.
#[derive(Debug, Default)]
pub struct Exposition(String);

/// A metric on a page, to be followed by its samples.
#[derive(Debug)]
pub struct Family<'p> {
    page: &'p mut String,
    name: &'static str,
}

/// Names and values: names are written here in the code, values may come from a configuration.
type Labels<'l> = &'l [(&'static str, &'l str)];

impl Exposition {
    /// The media type of a page.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Begins a metric. All of its samples are written before the next one begins.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) -> Family<'_> {
        append(&mut self.0, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { page: &mut self.0, name }
    }

    /// A metric with one sample and no labels.
    pub fn single(&mut self, name: &'static str, kind: Kind, help: &'static str, value: impl Display) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// The page.
    pub fn into_text(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// Writes a sample.
    pub fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.line("", labels, value);
    }

    /// Writes the samples of a histogram.
    pub fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram) {
        let mut below = 0;
        for (bound, count) in histogram.buckets() {
            below += count;
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.as_secs_f64().to_string());
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            self.line("_bucket", &labels, below);
        }
        self.summary(labels, below, histogram.sum().as_secs_f64());
    }

    /// Writes how many values there were, and their sum.
    pub fn summary(&mut self, labels: Labels<'_>, count: u64, sum: f64) {
        self.line("_sum", labels, sum);
        self.line("_count", labels, count);
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, value: impl Display) {
        append(self.page, format_args!("{}{suffix}", self.name));
        for (index, (name, value)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            append(self.page, format_args!("{before}{name}=\"{}\"", Escaped(value)));
        }
        append(self.page, format_args!("{} {value}\n", if labels.is_empty() { "" } else { "}" }));
    }
}

fn append(page: &mut String, text: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = page.write_fmt(text);
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        })
    }
}

/// A label's value: `\`, `"` and line feeds are escaped.
struct Escaped<'v>(&'v str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            other => f.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_sample_is_a_line_with_its_labels() {
        let mut page = Exposition::default();
        page.family("a_total", Kind::Counter, "How many.").sample(&[("b", "c"), ("d", "")], 7);
        page.single("e", Kind::Gauge, "What.", 0.5);
        let told = "# HELP a_total How many.\n# TYPE a_total counter\na_total{b=\"c\",d=\"\"} 7\n\
                    # HELP e What.\n# TYPE e gauge\ne 0.5\n";
        assert_eq!(page.into_text(), told);
    }

    #[test]
    fn a_value_cannot_end_its_label_or_its_line() {
        let mut page = Exposition::default();
        page.family("a", Kind::Gauge, "").sample(&[("b", "x\"} 1\n\\")], 1);
        assert!(page.into_text().ends_with("a{b=\"x\\\"} 1\\n\\\\\"} 1\n"));
    }

    #[test]
    fn the_buckets_of_a_histogram_count_all_that_is_below_their_bound() {
        let histogram = Histogram::default();
        for micros in [2, 2, 900, 60_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let mut page = Exposition::default();
        page.family("t_seconds", Kind::Histogram, "Time.").histogram(&[], &histogram);
        let text = page.into_text();
        let expected = [
            "t_seconds_bucket{le=\"0.000001\"} 0\n",
            "t_seconds_bucket{le=\"0.000005\"} 2\n",
            "t_seconds_bucket{le=\"0.001\"} 3\n",
            "t_seconds_bucket{le=\"5\"} 3\n",
            "t_seconds_bucket{le=\"+Inf\"} 4\n",
            "t_seconds_sum 60.000904\n",
            "t_seconds_count 4\n",
        ];
        let missing = expected.into_iter().find(|line| !text.contains(line));
        assert_eq!(missing, None, "{text}");
    }
}
