//! `scopegate route`: acts on the routes of the store itself. What the file declares is not loosened here either
//! (invariant 15); changes hold on every node within a second.

use std::io::{self, Read};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use super::{
    console::table,
    failure::{Failure, Task, Verdict},
    store::done,
    stored::open,
};
use crate::{
    api::admin::edit_store,
    store::{Actor, Edit, Edited, EntryKind, Expected, RecordId},
};

#[derive(Debug, Subcommand)]
pub(super) enum Route {
    /// List the routes of the store.
    List,
    /// Create a route, or replace the one of an id.
    Put(Put),
    /// Delete a route.
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(super) struct Put {
    /// The route as the configuration would write it, such as `{ match: GET /x, require: items }`; `-` reads it from
    /// standard input.
    definition: String,
    /// The id of the route to replace, as `route list` prints it.
    #[arg(long)]
    id: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    /// The id, as `route list` prints it.
    id: String,
}

/// A route of the store, to be printed.
#[derive(Debug, Serialize)]
struct Listed {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Value>,
    /// The reason why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored: Option<String>,
}

impl Route {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let edit = match self {
            Self::List => return list(task).await,
            Self::Put(put) => put.edit()?,
            Self::Delete(Delete { id }) => {
                Edit::DeleteRoute { id: RecordId::from_text(id), expected: Expected::Any }
            }
        };
        let config = task.config()?;
        let store = open(&config).await?;
        let edited = edit_store(|| config.rules.definition.clone(), &store, &Actor::System, &edit).await;
        let message = match edited.map_err(Failure::other)? {
            Edited::Route { route, created: true } => format!("the route `{}` is created", route.id),
            Edited::Route { route, created: false } => format!("the route `{}` is replaced", route.id),
            Edited::RouteDeleted(id) => format!("the route `{id}` is deleted"),
            Edited::Scope { .. } | Edited::ScopeDeleted(_) => "done".to_owned(),
        };
        done(task, message)
    }
}

impl Put {
    fn edit(&self) -> Result<Edit, Failure> {
        let mut text = self.definition.clone();
        if text == "-" {
            text.clear();
            io::stdin().lock().take(1 << 20).read_to_string(&mut text)?;
        }
        let definition: Value = serde_saphyr::from_str(&text)
            .map_err(|error| Failure::Usage(format!("the route is not YAML: {error}")))?;
        Ok(match &self.id {
            Some(id) => {
                Edit::ReplaceRoute { id: RecordId::from_text(id), definition, expected: Expected::Any }
            }
            None => Edit::CreateRoute { definition },
        })
    }
}

async fn list(task: &Task) -> Result<Verdict, Failure> {
    let store = open(&task.config()?).await?;
    let policy = store.policy();
    let readable = policy.routes.values().map(|route| Listed {
        id: route.id.to_string(),
        route: Some(route.definition.clone()),
        ignored: None,
    });
    let unreadable = policy.unreadable.values().filter(|entry| entry.kind == EntryKind::Route);
    let unreadable = unreadable.map(|entry| Listed {
        id: entry.name.clone(),
        route: None,
        ignored: Some(entry.reason.clone()),
    });
    let listed: Vec<Listed> = readable.chain(unreadable).collect();
    task.console.show(&listed, |out, _| {
        let cells: Vec<[String; 2]> = listed.iter().map(Listed::cells).collect();
        table(out, &cells)
    })?;
    Ok(Verdict::Yes)
}

impl Listed {
    fn cells(&self) -> [String; 2] {
        let route = self.route.as_ref().map(ToString::to_string);
        let ignored = self.ignored.as_ref().map(|reason| format!("ignored: {reason}"));
        [self.id.clone(), route.or(ignored).unwrap_or_default()]
    }
}
