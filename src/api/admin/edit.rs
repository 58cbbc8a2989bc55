//! Edits of the policy: checked by compiling the policy that they would make, made only if no other edit came first, in force
//! before they are answered.

use std::{collections::HashSet, sync::Arc};

use scopegate_provider::Scope;

use super::{Admin, unprocessable};
use crate::{
    gate::{
        definitions::{DefinitionError, parse_route},
        effective_policy,
    },
    policy::{Definition, Policy, PolicyError, Problem as PolicyProblem, Source},
    problem::Problem,
    reason::Reason,
    store::{Actor, ChangeNumber, Edit, Edited, Policies, RecordId, Store, StoreError, StoredPolicy},
};

/// Errors that keep an edit of the policy from being made.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The store refuses or fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The policy would not be one any more, or would loosen what the file declares (invariant 15).
    #[error(transparent)]
    Policy(Box<PolicyError>),
    /// One of scopegate's own endpoints would answer in place of the route.
    #[error("scopegate's own `{endpoint}` answers before this route: it would never decide")]
    Hidden {
        /// The path of the endpoint.
        endpoint: String,
    },
    /// The policy has changed since the caller has seen it.
    #[error("the policy has changed: expected change {seen} to be the last, found {found}; check again")]
    Changed {
        /// The change that the caller has seen.
        seen: i64,
        /// The last change.
        found: i64,
    },
    /// It is declared in the file, and is changed there.
    #[error("{0} is declared in the configuration file: change it there")]
    File(Source),
    /// The definition is not that of a route.
    #[error("not a route: {0}")]
    Route(#[source] DefinitionError),
}

/// The policies before and after an edit.
pub(super) struct Proposal {
    pub(super) old: Arc<Policy>,
    pub(super) new: Arc<Policy>,
    /// The last change of the policy before the edit.
    pub(super) change: ChangeNumber,
}

/// The number of an edit that is not made.
pub const UNMADE: ChangeNumber = ChangeNumber(i64::MAX);

/// The number of times that an edit is tried while others are made.
const TRIES: usize = 100;

impl Admin {
    /// Edits what is stored. Once this has answered, this node decides by it.
    ///
    /// # Errors
    /// [`EditError`]; nothing was changed.
    pub async fn edit(&self, by: &Actor, edit: Edit) -> Result<Edited, EditError> {
        self.edit_after(by, edit, None).await
    }

    /// Edits as [`Admin::edit`] does, but only if `seen` is the last change of the policy (`If-Policy-Change`).
    pub(super) async fn edit_after(
        &self,
        by: &Actor,
        edit: Edit,
        seen: Option<i64>,
    ) -> Result<Edited, EditError> {
        self.refuse_hidden(&edit)?;
        let edited = match seen {
            None => edit_store(|| self.node.definition(), &self.store, by, &edit).await?,
            Some(seen) => {
                check_route(&edit)?;
                let before = self.store.policy();
                if before.change.0 != seen {
                    return Err(EditError::Changed { seen, found: before.change.0 });
                }
                try_edit(&self.node.definition(), &self.store, by, &before, &edit).await?
            }
        };
        self.node.take_over().await;
        Ok(edited)
    }

    /// Returns the policies before and after an edit that could be made.
    pub(super) fn propose(&self, edit: &Edit) -> Result<Proposal, EditError> {
        self.refuse_hidden(edit)?;
        check_route(edit)?;
        let file = self.node.definition();
        let before = self.store.policy();
        judge(&file, &before, edit)?;
        let mut after = StoredPolicy::clone(&before);
        after.apply(edit.clone(), UNMADE)?;
        Ok(Proposal {
            old: effective_policy(&file, &before).policy,
            new: effective_policy(&file, &after).policy,
            change: before.change,
        })
    }

    /// Refuses a route that an endpoint of scopegate itself answers in its place.
    fn refuse_hidden(&self, edit: &Edit) -> Result<(), EditError> {
        let (Edit::CreateRoute { definition } | Edit::ReplaceRoute { definition, .. }) = edit else {
            return Ok(());
        };
        let route = parse_route(definition).map_err(EditError::Route)?;
        match self.node.hidden_by(&route) {
            Some(endpoint) => Err(EditError::Hidden { endpoint }),
            None => Ok(()),
        }
    }

    /// The problem, with the place in the file of what is in the way.
    pub(super) fn problem(&self, error: EditError) -> Problem {
        let declared = |source: &Source| {
            let place = self.node.place(source).map(|place| format!(" ({place})"));
            place.filter(|_| source.is_file()).unwrap_or_default()
        };
        let description = describe(&error);
        match error {
            EditError::Store(error) => error.into(),
            EditError::Changed { .. } => conflict(Reason::PolicyMoved, description),
            EditError::Route(_) => unprocessable(Reason::InvalidRoute, description),
            EditError::Hidden { .. } => unprocessable(Reason::HiddenRoute, description),
            EditError::File(source) => {
                conflict(Reason::DeclaredInFile, format!("{description}{}", declared(&source)))
            }
            EditError::Policy(error) => match &error.problem {
                PolicyProblem::Loosens { file, .. } => {
                    conflict(Reason::LoosensFile, format!("{description}{}", declared(file)))
                }
                PolicyProblem::DuplicatePattern { other, .. } | PolicyProblem::DuplicateScope { other } => {
                    conflict(Reason::Exists, format!("{description}{}", declared(other)))
                }
                PolicyProblem::UndeclaredScope { .. } => conflict(Reason::UndeclaredScope, description),
                _ => unprocessable(Reason::InvalidPolicy, description),
            },
        }
    }
}

/// Edits what is stored, judged against what `file` declares. Made anew as long as somebody else was faster.
///
/// # Errors
/// [`EditError`]; nothing was changed.
pub async fn edit_store(
    file: impl Fn() -> Definition,
    store: &Store,
    by: &Actor,
    edit: &Edit,
) -> Result<Edited, EditError> {
    check_route(edit)?;
    for _ in 1..TRIES {
        let before = store.policy();
        match try_edit(&file(), store, by, &before, edit).await {
            Err(_) if has_moved(store, before.change).await? => {}
            outcome => return outcome,
        }
    }
    let before = store.policy();
    try_edit(&file(), store, by, &before, edit).await
}

async fn try_edit(
    file: &Definition,
    store: &Store,
    by: &Actor,
    before: &StoredPolicy,
    edit: &Edit,
) -> Result<Edited, EditError> {
    judge(file, before, edit)?;
    let (edited, _) = store.edit_policy(by, before, edit.clone()).await?;
    Ok(edited)
}

/// Returns `true` if another edit has changed the policy, so that the check has to be made again.
async fn has_moved(store: &Store, seen: ChangeNumber) -> Result<bool, StoreError> {
    store.refresh().await?;
    Ok(store.policy().change != seen)
}

/// Without the id of a route that was not made.
fn describe(error: &EditError) -> String {
    let unmade = Source::StoredRoute { id: RecordId::of(UNMADE, 0).as_str().into() };
    match error {
        EditError::Policy(error) if error.at == unmade => format!("`{}`: {}", error.key, error.problem),
        error => error.to_string(),
    }
}

fn conflict(reason: Reason, description: String) -> Problem {
    Problem::new(reason, description)
}

/// Checks that the edit may be made. Entries that are ignored already do not keep it from being made.
fn judge(file: &Definition, before: &StoredPolicy, edit: &Edit) -> Result<(), EditError> {
    if let Edit::PutScope { name, .. } | Edit::DeleteScope { name, .. } = edit {
        check_scope(file, name)?;
    }
    let mut after = before.clone();
    after.apply(edit.clone(), UNMADE)?;
    let rejected = effective_policy(file, &after).rejected;
    if rejected.is_empty() {
        return Ok(());
    }
    let known: HashSet<Source> =
        effective_policy(file, before).rejected.into_iter().map(|error| error.at).collect();
    match rejected.into_iter().find(|error| !known.contains(&error.at)) {
        Some(error) => Err(EditError::Policy(Box::new(error))),
        None => Ok(()),
    }
}

fn check_route(edit: &Edit) -> Result<(), EditError> {
    match edit {
        Edit::CreateRoute { definition } | Edit::ReplaceRoute { definition, .. } => {
            parse_route(definition).map(drop).map_err(EditError::Route)
        }
        Edit::PutScope { .. }
        | Edit::DeleteScope { .. }
        | Edit::DeleteUnreadableScope { .. }
        | Edit::DeleteRoute { .. } => Ok(()),
    }
}

fn check_scope(file: &Definition, name: &Scope) -> Result<(), EditError> {
    match file.scopes().find(|(_, declared, _)| *declared == name) {
        Some((source, ..)) => Err(EditError::File(source.clone())),
        None => Ok(()),
    }
}
