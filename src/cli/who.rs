//! `scopegate who`: the smallest sets of what a caller needs for a request.

use std::io::{self, Write};

use clap::Args;
use http::Method;
use serde::Serialize;
use serde_json::Value;

use super::{
    console::{Console, Paint},
    failure::{Failure, Task, Verdict},
    stored::Stored,
};
use crate::policy::{Denial, Route, Rule, Target};

#[derive(Debug, Args)]
pub(super) struct Who {
    /// The method, such as GET.
    method: Method,
    /// The URL, or a path for any host.
    url: String,
}

/// The callers that a request needs.
#[derive(Debug, Serialize)]
struct Report {
    /// The routes that must all permit; more than one for irregular paths and behind stripped prefixes.
    routes: Vec<Needs>,
    /// The reason why no caller is permitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    denied: Option<String>,
}

/// The callers that one route permits.
#[derive(Debug, Serialize)]
struct Needs {
    /// The pattern.
    route: String,
    /// The route's declaration.
    place: String,
    /// `anonymous`, `optional`, `authenticated`, `nobody`, or `require`.
    rule: &'static str,
    /// The sets of which a caller needs all of one.
    sets: Vec<Vec<Need>>,
}

/// One requirement of a set.
#[derive(Debug, Serialize)]
struct Need {
    kind: &'static str,
    needs: Value,
    /// The requirement in words.
    text: String,
}

impl Who {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let config = task.config()?;
        let target =
            Target::of_url(&self.method, &self.url).map_err(|error| Failure::Usage(error.to_string()))?;
        let stored = Stored::of(&config).await;
        let policy = stored.effective(&config).policy;
        Console::note(stored.note.as_deref());
        let report = match policy.resolve(&target) {
            Ok(resolved) => {
                let routes = resolved.routes().map(|route| {
                    let place = config.rules.place(route.source()).map(ToString::to_string);
                    Needs::new(route, place.unwrap_or_else(|| route.source().to_string()))
                });
                let routes: Vec<Needs> = routes.collect();
                let is_closed = routes.iter().any(|needs| needs.rule == "nobody");
                Report { routes, denied: is_closed.then(|| Denial::Nobody.to_string()) }
            }
            Err(refused) => Report { routes: Vec::new(), denied: Some(refused.denial.to_string()) },
        };
        task.console.show(&report, |out, paint| report.write(out, paint))?;
        Ok(report.denied.is_none().into())
    }
}

impl Needs {
    fn new(route: &Route, place: String) -> Self {
        let rule = match route.rule() {
            Rule::Anonymous => "anonymous",
            Rule::Optional => "optional",
            Rule::Authenticated => "authenticated",
            Rule::Nobody => "nobody",
            Rule::Require(_) => "require",
        };
        let mut sets = Vec::new();
        for alternative in route.rule().least_alternatives() {
            let needs = alternative.terms().into_iter().map(|term| Need {
                kind: term.kind(),
                needs: term.needs(),
                text: term.to_string(),
            });
            sets.push(needs.collect());
        }
        Self { route: route.to_string(), place, rule, sets }
    }
}

impl Report {
    fn write(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
        if let Some(denied) = &self.denied {
            writeln!(out, "{}: {denied}", paint.bad("no caller"))?;
        }
        for (index, needs) in self.routes.iter().enumerate() {
            let also = if index > 0 { "and " } else { "" };
            writeln!(out, "{also}{}  {}", needs.route, paint.faint(&needs.place))?;
            match needs.rule {
                "anonymous" => writeln!(out, "  every request")?,
                "optional" => writeln!(out, "  every request without a token or with an accepted one")?,
                "authenticated" => writeln!(out, "  any accepted token")?,
                _ => {}
            }
            for set in &needs.sets {
                let texts: Vec<&str> = set.iter().map(|need| need.text.as_str()).collect();
                writeln!(out, "  {}", texts.join(", "))?;
            }
        }
        Ok(())
    }
}
