//! `scopegate scope`: acts on the scopes of the store itself, for the day when no admin token can be had. What the file
//! declares is not loosened here either (invariant 15); changes hold on every node within a second.

use clap::{Args, Subcommand};
use scopegate_provider::Scope as Name;
use serde::Serialize;

use super::{
    failure::{Failure, Task, Verdict},
    store::done,
    stored::open,
};
use crate::{
    api::admin::edit_store,
    store::{Actor, Edit, EntryKind, Expected, Store, StoredScope},
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
    /// Its description, for people.
    #[arg(long, default_value = "")]
    description: String,
    /// A pattern that it opens, such as `GET /reports/**`; may be repeated.
    #[arg(long = "route", value_name = "PATTERN")]
    routes: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Delete {
    /// Its name.
    name: String,
}

#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    description: String,
    routes: Vec<String>,
}

impl Scope {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let config = match self {
            Self::List => return list(task).await,
            Self::Put(_) | Self::Delete(_) => task.config()?,
        };
        let store = open(&config).await?;
        let (edit, message) = match self {
            Self::List => return list(task).await,
            Self::Put(put) => {
                (put.edit(), format!("the scope `{}` opens {}", put.name, put.routes.join(", ")))
            }
            Self::Delete(delete) => (delete.edit(&store)?, format!("the scope `{}` is deleted", delete.name)),
        };
        let file = || config.rules.definition.clone();
        edit_store(file, &store, &Actor::System, &edit).await.map_err(Failure::other)?;
        done(task, message)
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

impl Delete {
    /// Returns the edit: a stored entry that cannot be read need not have the name of a scope.
    fn edit(&self, store: &Store) -> Result<Edit, Failure> {
        let expected = Expected::Any;
        match Name::parse(&self.name) {
            Ok(name) => Ok(Edit::DeleteScope { name, expected }),
            Err(_) if store.policy().unreadable.contains_key(&(EntryKind::Scope, self.name.clone())) => {
                Ok(Edit::DeleteUnreadableScope { name: self.name.clone(), expected })
            }
            Err(error) => Err(Failure::Usage(error.to_string())),
        }
    }
}

impl From<&StoredScope> for Listed {
    fn from(scope: &StoredScope) -> Self {
        Self {
            name: scope.name.to_string(),
            description: scope.description.clone(),
            routes: scope.routes.clone(),
        }
    }
}

async fn list(task: &Task) -> Result<Verdict, Failure> {
    let store = open(&task.config()?).await?;
    let scopes: Vec<Listed> = store.policy().scopes.values().map(|scope| Listed::from(&**scope)).collect();
    task.console.show(&scopes, |out, _| {
        for scope in &scopes {
            writeln!(out, "{}  {}  {}", scope.name, scope.routes.join(", "), scope.description)?;
        }
        Ok(())
    })?;
    Ok(Verdict::Yes)
}
