//! `scopegate routes`: the compiled table, the most specific first, or the part of it that a caller reaches.

use clap::Args;
use scopegate_provider::{ClientId, Clock, ProviderName, Role, Scope, SystemClock};
use serde::Serialize;

use super::{
    console::{Console, table},
    failure::{Failure, Task, Verdict},
    stored::{Ignored, Stored},
};
use crate::{
    config::Rules,
    policy::{CallerAt, Route, SupposedCaller},
};

#[derive(Debug, Args)]
pub(super) struct Routes {
    /// Only the routes that a caller with these scopes reaches.
    #[arg(long, num_args = 1..)]
    scope: Vec<Scope>,
    /// Only the routes that a caller with these roles reaches.
    #[arg(long, num_args = 1..)]
    role: Vec<Role>,
    /// Only the routes that this client reaches.
    #[arg(long)]
    client: Option<ClientId>,
    /// Only the routes that a caller of this provider reaches.
    #[arg(long)]
    provider: Option<ProviderName>,
}

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
    /// The place of that in the file.
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

    fn cells(&self) -> [String; 5] {
        let place = self.place.as_ref().unwrap_or(&self.source);
        let upstream = self.upstream.as_ref().map(|name| format!("to {name}"));
        let fresh = self.fresh.then(|| "fresh".to_owned());
        let open = self.open_to_admin.then(|| "open to admin".to_owned());
        let notes = [upstream, fresh, open].into_iter().flatten().collect::<Vec<_>>().join(", ");
        [self.methods.clone(), self.r#match.clone(), self.rule.clone(), notes, place.clone()]
    }
}

/// A row of the table, or a stored entry that is ignored.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Entry {
    Route(Row),
    Ignored(Ignored),
}

impl Entry {
    fn cells(&self) -> [String; 5] {
        match self {
            Self::Route(row) => row.cells(),
            Self::Ignored(Ignored { source, ignored }) => {
                [String::new(), String::new(), String::new(), format!("ignored: {ignored}"), source.clone()]
            }
        }
    }
}

impl Routes {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let config = task.config()?;
        let stored = Stored::of(&config).await;
        let effective = stored.effective(&config);
        let mut routes = effective.policy.routes_by_precedence();
        if let Some(caller) = self.caller() {
            let now = SystemClock::new().now();
            let principal = caller.principal(now).map_err(Failure::other)?;
            routes.retain(|route| route.rule().decide(Some(CallerAt::new(&principal, now))).is_ok());
        }
        let rows = routes.into_iter().map(|route| Entry::Route(Row::new(route, &config.rules)));
        let entries: Vec<Entry> = rows.chain(effective.ignored.into_iter().map(Entry::Ignored)).collect();
        Console::note(stored.note.as_deref());
        task.console.show(&entries, |out, _| {
            let heads = ["METHODS", "PATTERN", "RULE", "", "DECLARED AT"].map(str::to_owned);
            let cells: Vec<[String; 5]> =
                std::iter::once(heads).chain(entries.iter().map(Entry::cells)).collect();
            table(out, &cells)
        })?;
        Ok(Verdict::Yes)
    }

    /// Returns the caller whose routes are listed; `None` for all routes.
    fn caller(&self) -> Option<SupposedCaller> {
        let caller = SupposedCaller {
            scopes: self.scope.clone(),
            roles: self.role.clone(),
            client: self.client.clone(),
            provider: self.provider.clone(),
            ..SupposedCaller::default()
        };
        (caller != SupposedCaller::default()).then_some(caller)
    }
}
