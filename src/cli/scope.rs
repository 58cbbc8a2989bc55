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
    /// A narrower scope of the store that its holders have as well; may be repeated.
    #[arg(long, value_name = "SCOPE")]
    implies: Vec<Name>,
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
    implies: Vec<Name>,
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
            Self::Put(put) => (put.edit(), put.message()),
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
            implies: self.implies.clone(),
            expected: Expected::Any,
        }
    }

    fn message(&self) -> String {
        let routes = (!self.routes.is_empty()).then(|| format!(" opens {}", self.routes.join(", ")));
        let implies = (!self.implies.is_empty()).then(|| format!(" implies {}", joined(&self.implies)));
        let parts: Vec<String> = [routes, implies].into_iter().flatten().collect();
        let effect = if parts.is_empty() { " is stored".to_owned() } else { parts.join(" and") };
        format!("the scope `{}`{effect}", self.name)
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
            implies: scope.implies.clone(),
        }
    }
}

fn joined(scopes: &[Name]) -> String {
    scopes.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}

async fn list(task: &Task) -> Result<Verdict, Failure> {
    let store = open(&task.config()?).await?;
    let scopes: Vec<Listed> = store.policy().scopes.values().map(|scope| Listed::from(&**scope)).collect();
    task.console.show(&scopes, |out, _| {
        for scope in &scopes {
            write!(out, "{}  {}  {}", scope.name, scope.routes.join(", "), scope.description)?;
            if !scope.implies.is_empty() {
                write!(out, "  implies {}", joined(&scope.implies))?;
            }
            writeln!(out)?;
        }
        Ok(())
    })?;
    Ok(Verdict::Yes)
}
