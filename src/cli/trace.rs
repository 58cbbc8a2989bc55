//! `scopegate trace`: follows the decisions of a running node.

use std::{io, time::Duration};

use clap::Args;
use reqwest::{
    Response, StatusCode,
    header::{ACCEPT, HeaderMap, HeaderValue},
};
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::{
    admin_client::{AdminClient, refused},
    console::Paint,
    failure::{Failure, Task, Verdict},
};
use crate::{
    config::Config,
    server::{Listen, reachable_address},
};

/// The pause before a lost connection is made again.
const PAUSE: Duration = Duration::from_secs(4);

/// The time limit for the start of an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest event that is read.
const LONGEST: usize = 1 << 20;

/// Follows decisions with a token of an administrator in `$SCOPEGATE_ADMIN_TOKEN`.
#[derive(Debug, Args)]
pub(super) struct Trace {
    /// The node, such as `https://api.example.com`, with its base path; the node of this configuration unless given.
    #[arg(long)]
    url: Option<Url>,
    /// Only these outcomes: `permitted`, `denied`, `outage`.
    #[arg(long, value_name = "OUTCOME", value_delimiter = ',')]
    outcome: Vec<String>,
    /// Only decisions of this route, by its pattern or its id.
    #[arg(long)]
    route: Option<String>,
    /// Only decisions for this reason.
    #[arg(long)]
    reason: Option<String>,
    /// Only decisions about this client.
    #[arg(long)]
    client: Option<String>,
    /// Only decisions about tokens of this provider.
    #[arg(long)]
    provider: Option<String>,
    /// Only decisions about this host.
    #[arg(long)]
    host: Option<String>,
    /// Only decisions about this method.
    #[arg(long)]
    method: Option<String>,
    /// Only decisions about paths that begin so.
    #[arg(long)]
    path: Option<String>,
    /// End after so many decisions.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// The end of one connection.
enum End {
    /// As many decisions as were wanted have come.
    Done,
    /// The connection was lost.
    Lost,
}

impl Trace {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let base = match &self.url {
            Some(url) => url.to_string(),
            None => node(&task.config()?),
        };
        let node = AdminClient::new(&base)?;
        let decisions = self.decisions();
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let mut shown = 0;
        let mut has_answered = false;
        loop {
            let sent = node.get(&decisions).headers(headers.clone()).send();
            match tokio::time::timeout(PATIENCE, sent).await {
                Ok(Ok(response)) if response.status() == StatusCode::OK => {
                    has_answered = true;
                    if let End::Done = self.follow(task, response, &mut headers, &mut shown).await? {
                        return Ok(Verdict::Yes);
                    }
                }
                Ok(Ok(response)) => return Err(refused(response).await),
                Ok(Err(error)) if !has_answered => {
                    return Err(node.unreachable(error.without_url().to_string()));
                }
                Err(_) if !has_answered => {
                    return Err(node.unreachable("no answer in time".to_owned()));
                }
                Ok(Err(_)) | Err(_) => {}
            }
            task.console.progress("the connection was lost; trying again");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Shows the decisions of one connection.
    async fn follow(
        &self,
        task: &Task,
        mut response: Response,
        headers: &mut HeaderMap,
        shown: &mut u64,
    ) -> Result<End, Failure> {
        let mut text = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            text.extend_from_slice(&chunk);
            while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = text.drain(..end + 2).collect();
                let event = Event::parse(&String::from_utf8_lossy(&event));
                if let Some(id) = event.id.as_deref().and_then(|id| HeaderValue::try_from(id).ok()) {
                    headers.insert("last-event-id", id);
                }
                match event.name.as_str() {
                    "decision" => {
                        task.console.line(&event.data, |paint| line(&event.data, paint))?;
                        *shown += 1;
                        if self.count.is_some_and(|count| *shown >= count) {
                            return Ok(End::Done);
                        }
                    }
                    "gap" => task.console.line(&event.data, |paint| gap(&event.data, paint))?,
                    _ => {}
                }
            }
            if text.len() > LONGEST {
                return Err(Failure::other(io::Error::other("the node sends events that are too long")));
            }
        }
        Ok(End::Lost)
    }

    /// Returns the path of the decisions with the filters.
    fn decisions(&self) -> String {
        let filters = [
            ("outcome", Some(self.outcome.join(",")).filter(|outcomes| !outcomes.is_empty())),
            ("route", self.route.clone()),
            ("reason", self.reason.clone()),
            ("client", self.client.clone()),
            ("provider", self.provider.clone()),
            ("host", self.host.clone()),
            ("method", self.method.clone()),
            ("path", self.path.clone()),
        ];
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in filters {
            query.extend_pairs(value.map(|value| (name, value)));
        }
        format!("/admin/decisions?{}", query.finish())
    }
}

/// Returns the URL of the admin endpoints of the node that runs with this configuration.
pub(super) fn node(config: &Config) -> String {
    let own = config.admin_listen();
    let base = config.server.base_path.as_str();
    if let (None, Some(url)) = (own, &config.server.public_url) {
        return format!("{url}{base}");
    }
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    match own.unwrap_or(&config.server.listen) {
        Listen::Tcp(address) => format!("{scheme}://{}{base}", reachable_address(*address)),
        Listen::Unix(path) => format!("{scheme}://{}{base}", path.display()),
    }
}

/// A server-sent event.
#[derive(Debug, Default, PartialEq)]
struct Event {
    id: Option<String>,
    name: String,
    data: Value,
}

impl Event {
    fn parse(text: &str) -> Self {
        let mut event = Self::default();
        for line in text.lines() {
            match line.split_once(": ") {
                Some(("id", id)) => event.id = Some(id.to_owned()),
                Some(("event", name)) => name.clone_into(&mut event.name),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap_or_default(),
                _ => {}
            }
        }
        event
    }
}

/// Returns a decision as a line for people. Values of callers are shown without control characters.
fn line(decision: &Value, paint: Paint) -> String {
    let outcome = text(decision, "outcome");
    let outcome = match outcome.as_str() {
        "permitted" => paint.good("permitted"),
        "denied" => paint.bad("denied   "),
        _ => paint.warning("outage   "),
    };
    let missing: Vec<_> = decision
        .pointer("/missing/scopes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let lacks = if missing.is_empty() { String::new() } else { format!(" lacks {}", missing.join(" ")) };
    let reason = text(decision, "reason");
    let reason = if reason == "permitted" { String::new() } else { format!("  {reason}{lacks}") };
    let caller: Vec<_> = ["client", "provider"]
        .iter()
        .map(|name| text(decision, name))
        .filter(|text| !text.is_empty())
        .collect();
    let caller = if caller.is_empty() { String::new() } else { format!("  by {}", caller.join(" of ")) };
    let rule = decision.pointer("/route/place").or(decision.pointer("/route/match"));
    let rule = rule.and_then(Value::as_str).unwrap_or("no route");
    let end = format!("{rule}  {}", text(decision, "request_id"));
    let at = text(decision, "at");
    let time = at.get(11..19).unwrap_or(&at);
    format!(
        "{time} {outcome} {} {} {}{}{reason}{caller}  {}",
        text(decision, "status"),
        text(decision, "method"),
        text(decision, "host"),
        text(decision, "path"),
        paint.faint(&end),
    )
}

fn gap(counts: &Value, paint: Paint) -> String {
    let permitted = text(counts, "permitted");
    let denied = text(counts, "denied");
    paint.faint(&format!("… {permitted} permitted and {denied} denied were left out"))
}

fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        Some(Value::String(text)) => text.chars().filter(|c| !c.is_control()).collect(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_read_from_its_lines() {
        let event = Event::parse("id: n.7\nevent: decision\ndata: {\"a\":1}\n\n");
        assert_eq!(
            event,
            Event { id: Some("n.7".to_owned()), name: "decision".to_owned(), data: json!({ "a": 1 }) }
        );
        assert_eq!(Event::parse(": still here\n\n"), Event::default());
    }

    #[test]
    fn a_denial_names_what_is_missing_and_the_place_of_the_rule_and_no_control_characters() {
        let decision = json!({
            "at": "2026-11-30T12:34:56.123Z", "outcome": "denied", "status": 403, "reason": "insufficient_scope",
            "method": "PUT", "host": "api.example", "path": "/items/\u{1b}[31m1", "client": "shop", "provider": "okta",
            "route": { "match": "PUT /items/**", "place": "scopegate.yaml:12" },
            "missing": { "scopes": ["items:write"] }, "request_id": "7c1e",
        });
        assert_eq!(
            line(&decision, Paint::plain()),
            "12:34:56 denied    403 PUT api.example/items/[31m1  insufficient_scope lacks items:write  by shop of okta  \
             scopegate.yaml:12  7c1e"
        );
    }
}
