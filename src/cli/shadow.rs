//! `scopegate shadow`: the routes in `mode: shadow`, and their promotion to enforced routes.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    console::{Console, Paint, table},
    diff::write_text,
    failure::{Failure, Task, Verdict},
    stored::{Stored, open},
};
use crate::{
    api::admin::{UNMADE, edit_store},
    config::{Config, Location},
    gate::effective_policy,
    policy::{Policy, Route, Source, diff::compare},
    store::{Actor, Edit, Expected, RecordId, StoredPolicy},
    yaml::{Document, Node, Origin, parse},
};

#[derive(Debug, Subcommand)]
pub(super) enum Shadow {
    /// List the routes in `mode: shadow`.
    List,
    /// Enforce a route: in its file, in place of the routes that it replaces, or in the store. Prints the difference.
    Promote(Promote),
}

#[derive(Debug, Args)]
pub(super) struct Promote {
    /// The route: its pattern, its place such as `scopegate.yaml:12`, or the id of a stored one, as `shadow list` prints
    /// them.
    route: String,
    /// Print what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// A route in `mode: shadow`, to be printed.
#[derive(Debug, Serialize)]
struct Listed {
    r#match: String,
    rule: String,
    place: String,
}

impl Shadow {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let config = task.config()?;
        let stored = Stored::of(&config).await;
        Console::note(stored.note.as_deref());
        let policy = stored.effective(&config).policy;
        match self {
            Self::List => list(task, &config, &policy),
            Self::Promote(promote) => promote.run(task, &config, &policy).await,
        }
    }
}

fn list(task: &Task, config: &Config, policy: &Policy) -> Result<Verdict, Failure> {
    let shadow = shadow_routes(policy);
    let listed: Vec<Listed> = shadow
        .iter()
        .map(|route| Listed {
            r#match: route.to_string(),
            rule: route.rule().to_string(),
            place: place(config, route.source()),
        })
        .collect();
    task.console.show(&listed, |out, _| {
        let cells: Vec<[String; 3]> =
            listed.iter().map(|one| [one.r#match.clone(), one.rule.clone(), one.place.clone()]).collect();
        table(out, &cells)
    })?;
    Ok(Verdict::Yes)
}

fn shadow_routes(policy: &Policy) -> Vec<&Route> {
    policy.routes_by_precedence().into_iter().filter(|route| route.is_shadow()).collect()
}

/// Returns the place of a route in its file, or the id of a stored one.
fn place(config: &Config, source: &Source) -> String {
    match (config.rules.place(source), source) {
        (Some(location), _) => location.to_string(),
        (None, Source::StoredRoute { id }) => id.to_string(),
        (None, source) => source.to_string(),
    }
}

impl Promote {
    async fn run(&self, task: &Task, config: &Config, policy: &Policy) -> Result<Verdict, Failure> {
        let source = self.source(config, policy)?;
        let replaced: Vec<Source> = policy.replaced_by(&source).map_err(Failure::Usage)?;
        match &source {
            Source::StoredRoute { id } => self.promote_stored(task, config, policy, id, &replaced).await,
            Source::Route { .. } => self.promote_in_file(task, config, &source, &replaced),
            _ => Err(Failure::Usage(format!("{source} is not a route of the configuration or the store"))),
        }
    }

    /// Finds the route that the argument names.
    fn source(&self, config: &Config, policy: &Policy) -> Result<Source, Failure> {
        let mut found: Vec<Source> = Vec::new();
        for route in shadow_routes(policy) {
            let place = place(config, route.source());
            let names = place == self.route
                || place.strip_prefix(&self.route).is_some_and(|rest| rest.starts_with(':'))
                || route.to_string() == self.route
                || route.source().to_string() == self.route;
            if names && !found.contains(route.source()) {
                found.push(route.source().clone());
            }
        }
        match found.as_slice() {
            [source] => Ok(source.clone()),
            [] => Err(Failure::Usage(format!(
                "no route in `mode: shadow` is `{}`; `scopegate shadow list` prints them",
                self.route
            ))),
            _ => Err(Failure::Usage(format!(
                "several routes in `mode: shadow` are `{}`: name one by its place",
                self.route
            ))),
        }
    }

    /// Edits the store. A route that is replaced gets the new definition in one edit, so that its requests are decided by
    /// the one rule or the other at every moment; the route in `mode: shadow` is removed after that.
    async fn promote_stored(
        &self,
        task: &Task,
        config: &Config,
        policy: &Policy,
        id: &str,
        replaced: &[Source],
    ) -> Result<Verdict, Failure> {
        let store = open(config).await?;
        let before = store.policy();
        let id = RecordId::from_text(id);
        let shadow = before.routes.get(&id);
        let shadow = shadow.ok_or_else(|| Failure::Usage(format!("there is no stored route `{id}`")))?;
        let mut definition = shadow.definition.clone();
        if let Some(members) = definition.as_object_mut() {
            members.remove("mode");
        }
        let expected = Expected::Version(shadow.version);
        let edits = match replaced {
            [] => vec![Edit::ReplaceRoute { id, definition, expected }],
            [Source::StoredRoute { id: other }] => {
                let other = RecordId::from_text(other);
                let known = before
                    .routes
                    .get(&other)
                    .map_or(Expected::Something, |route| Expected::Version(route.version));
                vec![
                    Edit::ReplaceRoute { id: other, definition, expected: known },
                    Edit::DeleteRoute { id, expected },
                ]
            }
            [source] => {
                return Err(Failure::Usage(format!(
                    "the stored route would replace {}, which the file declares: remove that there first",
                    place(config, source)
                )));
            }
            several => {
                let places: Vec<String> = several.iter().map(|source| place(config, source)).collect();
                return Err(Failure::Usage(format!(
                    "the stored route would replace several ({}): make one of them first",
                    places.join(", ")
                )));
            }
        };
        let mut after = StoredPolicy::clone(&before);
        for edit in &edits {
            after.apply(edit.clone(), UNMADE).map_err(Failure::other)?;
        }
        let promoted = effective_policy(&config.rules.definition, &after).policy;
        if !self.dry_run {
            for edit in &edits {
                edit_store(|| config.rules.definition.clone(), &store, &Actor::System, edit)
                    .await
                    .map_err(Failure::other)?;
            }
        }
        show_difference(task, config, policy, &promoted)?;
        Ok(Verdict::Yes)
    }

    /// Edits the file, if the configuration is good with the edited text.
    fn promote_in_file(
        &self,
        task: &Task,
        config: &Config,
        source: &Source,
        replaced: &[Source],
    ) -> Result<Verdict, Failure> {
        let mut changes: Vec<(&Location, Change)> = Vec::new();
        for (source, change) in std::iter::once((source, Change::Enforce))
            .chain(replaced.iter().map(|source| (source, Change::Remove)))
        {
            let location = config
                .rules
                .place(source)
                .ok_or_else(|| Failure::Usage(format!("{source} is not in a file: change it by hand")))?;
            changes.push((location, change));
        }
        let promoted = changes.first().and_then(|(location, _)| location.origin().file()).map(Path::to_owned);
        // From the end, so that earlier places stay where they are.
        changes.sort_by_key(|(location, _)| std::cmp::Reverse(location.line()));
        let mut texts: HashMap<PathBuf, String> = HashMap::new();
        for (location, change) in changes {
            let Some(path) = location.origin().file() else {
                return Err(Failure::Usage(format!("{location} is not in a file: change it by hand")));
            };
            let before = match texts.get(path) {
                Some(text) => text.clone(),
                None => fs::read_to_string(path)?,
            };
            let after = change.apply(&before, path, location).map_err(Failure::Usage)?;
            texts.insert(path.to_owned(), after);
        }
        let edited = task.loader.clone().with_texts(texts.clone()).load(&task.source)?;
        if !self.dry_run {
            // The file with the promoted route first: until the replaced ones are gone too, two routes have one pattern,
            // and a node that reads that keeps the configuration that it has.
            let mut files: Vec<(&PathBuf, &String)> = texts.iter().collect();
            files.sort_by_key(|(path, _)| Some(*path) != promoted.as_ref());
            for (path, text) in files {
                replace_file(path, text)?;
            }
        }
        show_difference(task, config, &config.rules.policy, &edited.rules.policy)?;
        Ok(Verdict::Yes)
    }
}

/// Replaces a file at once, so that a node that watches it never reads a part of it. The new file has the mode and the
/// owner of the old one, as a node that runs as another user has to read it.
fn replace_file(path: &Path, text: &str) -> io::Result<()> {
    // Behind a symbolic link, as configuration managers set them, the file itself is replaced.
    let path = path.canonicalize()?;
    let mut partial = path.clone().into_os_string();
    partial.push(".partial");
    let replaced = fs::copy(&path, &partial).and_then(|_| {
        let owner = fs::metadata(&path)?;
        chown(&partial, Some(owner.uid()), Some(owner.gid()))?;
        fs::write(&partial, text)?;
        fs::rename(&partial, &path)
    });
    if replaced.is_err() {
        // Whether it is there or not, the error that is told is the first.
        let _ = fs::remove_file(&partial);
    }
    replaced
}

/// Shows what the promotion changes.
fn show_difference(task: &Task, config: &Config, old: &Policy, new: &Policy) -> Result<(), Failure> {
    let providers: Vec<_> = config.providers.iter().map(|provider| provider.name().clone()).collect();
    let mut differences = compare(old, new, &providers);
    let located = |source: &Source| Some(place(config, source));
    differences.locate(located, |_| None);
    task.console
        .show(&differences, |out: &mut dyn Write, paint: Paint| write_text(out, paint, &differences))?;
    Ok(())
}

/// A change of the text of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// A route is enforced.
    Enforce,
    /// A route is removed.
    Remove,
}

impl Change {
    /// Returns the text with the change at the route of this place.
    fn apply(self, text: &str, path: &Path, at: &Location) -> Result<String, String> {
        let by_hand = |problem: &str| format!("{at}: {problem}: change it by hand");
        let document = Arc::new(Document { origin: Origin::File(path.into()), text: text.into() });
        let root = parse(&document).map_err(|_| by_hand("the file cannot be read"))?;
        let routes = root.get("routes").map(Node::items).unwrap_or_default();
        let index = routes
            .iter()
            .position(|route| route.location.line() == at.line() && route.location.column() == at.column());
        let Some(route) = index.and_then(|index| routes.get(index)) else {
            return Err(by_hand("the route is not found"));
        };
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let kept = match self {
            Self::Enforce => {
                let mode = route.entry("mode").ok_or_else(|| by_hand("the route has no `mode`"))?;
                without_entry(&lines, mode.key_location.line(), mode.key_location.column())
            }
            Self::Remove => without_item(&lines, route),
        };
        kept.ok_or_else(|| by_hand("the text has an unusual form"))
    }
}

/// Removes `mode: shadow` at this place: a line of its own, or a member of a map in braces.
fn without_entry(lines: &[&str], line: Option<u32>, column: Option<u32>) -> Option<String> {
    let index = usize::try_from(line?.checked_sub(1)?).ok()?;
    let text = lines.get(index)?;
    if text.trim().trim_end_matches('#').trim() == "mode: shadow" {
        let kept = lines.iter().enumerate().filter(|(number, _)| *number != index);
        return Some(kept.map(|(_, line)| *line).collect());
    }
    let start = text.char_indices().nth(usize::try_from(column?.checked_sub(1)?).ok()?)?.0;
    let (before, rest) = text.split_at(start);
    let rest = rest.strip_prefix("mode: shadow")?;
    let changed = match before.trim_end().strip_suffix(',') {
        Some(before) => format!("{before}{rest}"),
        None => format!("{before}{}", rest.trim_start().strip_prefix(',')?.trim_start()),
    };
    let numbered = lines.iter().enumerate();
    Some(numbered.map(|(number, line)| if number == index { changed.as_str() } else { *line }).collect())
}

/// Removes an item of a list that has a line for each item.
fn without_item(lines: &[&str], route: &Node) -> Option<String> {
    let covered = route.location.lines();
    let first = usize::try_from(covered.start().checked_sub(1)?).ok()?;
    let head = lines.get(first)?;
    let indent = head.len() - head.trim_start().len();
    if !head.trim_start().starts_with("- ") {
        return None;
    }
    let mut end = first + 1;
    while let Some(line) = lines.get(end) {
        let is_blank = line.trim().is_empty();
        let is_deeper = line.len() - line.trim_start().len() > indent;
        if is_blank || !is_deeper || line.trim_start().starts_with('#') {
            break;
        }
        end += 1;
    }
    let kept = lines.iter().enumerate().filter(|(number, _)| *number < first || *number >= end);
    Some(kept.map(|(_, line)| *line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(text: &str, change: Change, index: usize) -> Result<String, String> {
        let path = Path::new("scopegate.yaml");
        let document = Arc::new(Document { origin: Origin::File(path.into()), text: text.into() });
        let root = parse(&document).unwrap();
        let at = root.get("routes").unwrap().items()[index].location.clone();
        change.apply(text, path, &at)
    }

    #[test]
    fn a_route_is_promoted_in_both_forms_of_a_map() {
        let flow = "routes:\n  - { match: /a, require: r, mode: shadow }   # soon\n";
        assert_eq!(
            changed(flow, Change::Enforce, 0).unwrap(),
            "routes:\n  - { match: /a, require: r }   # soon\n"
        );
        let first = "routes:\n  - { mode: shadow, match: /a, require: r }\n";
        assert_eq!(changed(first, Change::Enforce, 0).unwrap(), "routes:\n  - { match: /a, require: r }\n");
        let block = "routes:\n  - match: /a\n    mode: shadow\n    require: r\n";
        assert_eq!(changed(block, Change::Enforce, 0).unwrap(), "routes:\n  - match: /a\n    require: r\n");
    }

    #[test]
    fn a_replaced_route_is_removed_with_its_lines_and_comments_of_the_next_stay() {
        let text = "routes:\n  - match: /a\n    require: r\n  # the next\n  - { match: /b, require: r }\n";
        assert_eq!(
            changed(text, Change::Remove, 0).unwrap(),
            "routes:\n  # the next\n  - { match: /b, require: r }\n"
        );
        let flow = "routes: [{ match: /a, require: r }]\n";
        assert!(changed(flow, Change::Remove, 0).unwrap_err().contains("by hand"));
    }
}
