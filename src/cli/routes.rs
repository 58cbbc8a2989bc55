//! `scopegate routes`: the compiled table, the most specific first.

use serde::Serialize;

use super::{
    console::table,
    failure::{Failure, Task, Verdict},
};
use crate::{config::Rules, policy::Route};

#[derive(Debug, Serialize)]
struct Row {
    /// The pattern.
    r#match: String,
    /// The methods that it decides.
    methods: String,
    /// The rule.
    rule: String,
    /// The route or scope that declares it.
    source: String,
    /// Where that stands.
    place: Option<String>,
    upstream: Option<String>,
    fresh: bool,
    open_to_admin: bool,
}

impl Row {
    fn new(route: &Route, rules: &Rules) -> Self {
        let options = route.options();
        Self {
            r#match: route.pattern().host_path.to_string(),
            methods: route.methods().to_string(),
            rule: route.rule().to_string(),
            source: route.source().to_string(),
            place: rules.place(route.source()).map(ToString::to_string),
            upstream: options.upstream.as_ref().map(ToString::to_string),
            fresh: options.fresh,
            open_to_admin: options.open_to_admin,
        }
    }

    fn notes(&self) -> String {
        let upstream = self.upstream.as_ref().map(|name| format!("to {name}"));
        let fresh = self.fresh.then(|| "fresh".to_owned());
        let open = self.open_to_admin.then(|| "open to admin".to_owned());
        [upstream, fresh, open].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn cells(&self) -> [String; 5] {
        let place = self.place.as_ref().unwrap_or(&self.source);
        [self.methods.clone(), self.r#match.clone(), self.rule.clone(), self.notes(), place.clone()]
    }
}

pub(super) fn run(task: &Task) -> Result<Verdict, Failure> {
    let rules = task.config()?.rules;
    let routes = rules.policy.routes_by_precedence();
    let rows: Vec<Row> = routes.into_iter().map(|route| Row::new(route, &rules)).collect();
    task.console.show(&rows, |out, _| {
        let heads = ["METHODS", "PATTERN", "RULE", "", "DECLARED AT"].map(str::to_owned);
        let cells: Vec<[String; 5]> = std::iter::once(heads).chain(rows.iter().map(Row::cells)).collect();
        table(out, &cells)
    })?;
    Ok(Verdict::Yes)
}
