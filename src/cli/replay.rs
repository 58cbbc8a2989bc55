//! `scopegate replay`: makes recorded decisions again by the policy of the configuration and its store.

use std::{
    fs,
    io::{self, Write},
};

use clap::Args;
use scopegate_provider::{Clock, SystemClock};
use serde::Deserialize;
use serde_json::Value;

use super::{
    admin_client::AdminClient,
    console::{Console, Paint},
    failure::{Failure, Task, Verdict},
    stored::Stored,
};
use crate::policy::replay::{RecordedDecision, ReplayGroup, Replayed};

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// A file of JSON lines, each a decision as `/admin/decisions` has it; or the address of a node's administration, with
    /// an administrator's token in `$SCOPEGATE_ADMIN_TOKEN`.
    #[arg(value_name = "FILE|URL")]
    source: String,
    /// Print the decisions as JSON lines instead, to be kept in a file. They hold no tokens.
    #[arg(long)]
    save: bool,
}

/// A page of `/admin/decisions`.
#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<RecordedDecision>,
    next: Option<u64>,
}

impl Replay {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let records = traffic(&self.source).await?;
        if self.save {
            let mut out = io::stdout().lock();
            for record in &records {
                serde_json::to_writer(&mut out, record).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            return Ok(Verdict::Yes);
        }
        let config = task.config()?;
        let stored = Stored::of(&config).await;
        Console::note(stored.note.as_deref());
        let policy = stored.effective(&config).policy;
        let replayed = policy.replay(&records, None, SystemClock::new().now());
        task.console.show(&replayed, |out, paint| write_replay(out, paint, &replayed))?;
        Ok((!replayed.has_changes()).into())
    }
}

/// Reads recorded decisions from a file, or from a node.
///
/// # Errors
/// They cannot be read.
pub(super) async fn traffic(source: &str) -> Result<Vec<RecordedDecision>, Failure> {
    if source.starts_with("http://") || source.starts_with("https://") {
        return of_node(source).await;
    }
    let text = fs::read_to_string(source)
        .map_err(|error| Failure::Usage(format!("cannot read `{source}`: {error}")))?;
    parse(&text).map_err(|message| Failure::Usage(format!("`{source}`: {message}")))
}

/// Parses JSON lines, or an answer of `/admin/decisions`.
fn parse(text: &str) -> Result<Vec<RecordedDecision>, String> {
    if let Ok(Page { items, .. }) = serde_json::from_str(text) {
        return Ok(items);
    }
    let mut records = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |problem: &str| format!("line {}: {problem}", index + 1);
        let value: Value = serde_json::from_str(line).map_err(|error| wrong(&error.to_string()))?;
        let is_decision = ["method", "path", "outcome"].iter().all(|name| value.get(name).is_some());
        if !is_decision {
            return Err(wrong("expected a decision with `method`, `path` and `outcome`"));
        }
        records.push(serde_json::from_value(value).map_err(|error| wrong(&error.to_string()))?);
    }
    Ok(records)
}

/// Reads the remembered decisions of a node.
async fn of_node(base: &str) -> Result<Vec<RecordedDecision>, Failure> {
    let node = AdminClient::new(base)?;
    let mut records = Vec::new();
    let mut after = String::new();
    loop {
        let text = node.text(&format!("/admin/decisions?limit=1000{after}")).await?;
        let page: Page = serde_json::from_str(&text).map_err(Failure::other)?;
        records.extend(page.items);
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(records),
        }
    }
}

/// Writes the decisions that change, for people.
pub(super) fn write_replay(out: &mut dyn Write, paint: Paint, replayed: &Replayed) -> io::Result<()> {
    for group in &replayed.permitted_now {
        write_group(out, &paint.bad("permitted now"), group)?;
    }
    for group in &replayed.denied_now {
        write_group(out, &paint.warning("denied now"), group)?;
    }
    let permitted: u64 = replayed.permitted_now.iter().map(|group| group.count).sum();
    let denied: u64 = replayed.denied_now.iter().map(|group| group.count).sum();
    let Replayed { unchanged, unknown, .. } = replayed;
    writeln!(
        out,
        "replayed: {permitted} permitted now, {denied} denied now, {unchanged} unchanged, {unknown} of which the \
         records do not say enough"
    )
}

fn write_group(out: &mut dyn Write, change: &str, group: &ReplayGroup) -> io::Result<()> {
    let client = group.client.as_ref().map_or("no client", |client| client.as_str());
    let provider = group.provider.as_ref().map(|provider| format!(" of {provider}")).unwrap_or_default();
    let route = group.route.as_deref().unwrap_or("no route");
    let reason = group.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    writeln!(out, "{change} {} by {route}{reason}: {client}{provider}", group.count)?;
    for example in &group.examples {
        writeln!(out, "  {} {}{}", example.method, example.host, example.path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_json_lines_and_pages_and_names_a_bad_line() {
        let line =
            r#"{"method":"GET","host":"a","path":"/","outcome":"permitted","token":"absent","micros":4}"#;
        assert_eq!(parse(&format!("{line}\n\n{line}\n")).unwrap().len(), 2);
        assert_eq!(parse(&format!("{{\"items\":[{line}],\"next\":7}}")).unwrap().len(), 1);
        let error = parse(&format!("{line}\n{{\"message\":\"served\"}}")).unwrap_err();
        assert!(error.starts_with("line 2: expected a decision"), "{error}");
    }
}
