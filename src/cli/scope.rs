//! `scopegate scope`: acts on the scopes of the store itself, for the day when no admin token can be had. What the file
//! declares is not loosened here either (invariant 15); what is done holds on every node within a second.

use std::sync::Arc;

use clap::{Args, Subcommand};
use scopegate_provider::Scope as Name;
use serde::Serialize;

use super::{
    failure::{Failure, Task, Verdict},
    store::{done, open},
};
use crate::{
    api::admin::edit_store,
    store::{Actor, Edit, Expected, StoredScope},
};

#[derive(Debug, Subcommand)]
pub(super) enum Scope {
    /// List the scopes of the store.
    List,
    /// Create or replace a scope of the store.
    Put(Put),
    /// Delete a scope of the store.
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(super) struct Put {
    /// Its name.
    name: Name,
    /// What it lets its holder do, for people.
    #[arg(long, default_value = "")]
    description: String,
    /// A pattern that it opens, such as `GET /reports/**`; may be repeated.
    #[arg(long = "route", value_name = "PATTERN")]
    routes: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    /// Its name.
    name: Name,
}

#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    description: String,
    routes: Vec<String>,
}

impl Scope {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let (edit, told) = match self {
            Self::List => return list(task).await,
            Self::Put(put) => {
                (put.edit(), format!("the scope `{}` opens {}", put.name, put.routes.join(", ")))
            }
            Self::Delete(Delete { name }) => {
                let edit = Edit::DeleteScope { name: name.clone(), expected: Expected::Any };
                (edit, format!("the scope `{name}` is deleted"))
            }
        };
        let config = task.config()?;
        let store = open(&config).await?;
        let file = || config.rules.definition.clone();
        edit_store(file, &store, &Actor::System, &edit).await.map_err(Failure::other)?;
        done(task, told)
    }
}

impl Put {
    fn edit(&self) -> Edit {
        Edit::PutScope {
            name: self.name.clone(),
            description: self.description.clone(),
            routes: self.routes.clone(),
            expected: Expected::Any,
        }
    }
}

async fn list(task: &Task) -> Result<Verdict, Failure> {
    let store = open(&task.config()?).await?;
    let listed = |scope: &Arc<StoredScope>| Listed {
        name: scope.name.to_string(),
        description: scope.description.clone(),
        routes: scope.routes.clone(),
    };
    let scopes: Vec<Listed> = store.policy().scopes.values().map(listed).collect();
    task.console.show(&scopes, |out, _| {
        for scope in &scopes {
            writeln!(out, "{}  {}  {}", scope.name, scope.routes.join(", "), scope.description)?;
        }
        Ok(())
    })?;
    Ok(Verdict::Yes)
}
