//! `scopegate diff`: which requests of which callers a changed policy permits or denies that it did not before.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process,
    sync::Arc,
};

use clap::Args;
use reqwest::Url;
use scopegate_provider::{ProviderName, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    admin_client::AdminClient,
    console::{Console, Paint},
    failure::{Failure, Task, Verdict},
    stored::Stored,
    trace::node,
};
use crate::{
    config::{Config, ConfigSource, Rules},
    policy::{
        Definition, KnownProvider, Policy, Source, SupposedCaller,
        diff::{Change, Difference, Differences, GeneralSettings, SettingChange, compare, compare_with},
        settings::{RouteSettings, ScopeSettings, TokenSource},
    },
};

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The old policy: a file, a folder, `REVISION:PATH` of a git repository, `store` for that of the configuration and
    /// its store, or `running` for that of a node, with an administrator's token in `$SCOPEGATE_ADMIN_TOKEN`.
    #[arg(required_unless_present = "shadow")]
    old: Option<String>,
    /// The new policy, named in the same ways.
    #[arg(required_unless_present = "shadow")]
    new: Option<String>,
    /// Compare the enforced policy with the one in which the routes in `mode: shadow` are enforced.
    #[arg(long, conflicts_with_all = ["old", "new"])]
    shadow: bool,
    /// The address of the administration of the node that `running` means, such as `http://127.0.0.1:8081`; otherwise that
    /// of the configuration.
    #[arg(long)]
    url: Option<Url>,
    /// A file of approved differences, each on a line as this command prints it; `#` begins a comment.
    #[arg(long, value_name = "FILE")]
    allow: Option<PathBuf>,
    /// Print Markdown, for a comment on a pull request.
    #[arg(long)]
    markdown: bool,
}

/// A policy with the places of its declarations.
struct Side {
    policy: Arc<Policy>,
    places: Places,
    providers: Vec<ProviderName>,
    general: GeneralSettings,
}

/// The places of the declarations of a policy.
enum Places {
    /// Of a configuration, with the folder to which a revision was written, and its name.
    Files(Box<Rules>, Option<Checkout>),
    /// Of a running node.
    Node(HashMap<Source, String>),
}

/// The answer of `GET /admin/policy`.
#[derive(Debug, Deserialize)]
struct InForce {
    providers: Vec<ProviderName>,
    accept_token: Vec<TokenSource>,
    scopes: Vec<DeclaredScope>,
    routes: Vec<DeclaredRoute>,
    general: GeneralSettings,
}

#[derive(Debug, Deserialize)]
struct DeclaredScope {
    name: Scope,
    settings: ScopeSettings,
    place: String,
}

#[derive(Debug, Deserialize)]
struct DeclaredRoute {
    definition: RouteSettings,
    place: String,
}

/// The answer of `POST /admin/diff`, of a command that runs without a node.
#[derive(Debug, Serialize)]
struct Report<'d> {
    base: Option<Value>,
    problem: Option<Value>,
    #[serde(flatten)]
    differences: &'d Differences,
    replay: Option<Value>,
}

impl Diff {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let mut differences = if let (Some(old), Some(new)) = (&self.old, &self.new) {
            let old = self.side(old, task).await?;
            let new = self.side(new, task).await?;
            let mut providers = old.providers.clone();
            providers.extend(new.providers.iter().filter(|name| !old.providers.contains(name)).cloned());
            let mut differences =
                compare_with((&old.policy, &old.general), (&new.policy, &new.general), &providers);
            differences.locate(|source| old.place(source), |source| new.place(source));
            differences
        } else {
            let side = Side::of("store", task).await?;
            let shadow = side.policy.shadow().unwrap_or(&side.policy);
            let mut differences = compare(&side.policy, shadow, &side.providers);
            differences.locate(|source| side.place(source), |source| side.place(source));
            differences
        };
        self.leave_out_approved(&mut differences)?;
        let report = Report { base: None, problem: None, differences: &differences, replay: None };
        task.console.show(&report, |out, paint| {
            if self.markdown {
                write_markdown(out, &differences)
            } else {
                write_text(out, paint, &differences)
            }
        })?;
        Ok((!differences.loosens()).into())
    }

    async fn side(&self, name: &str, task: &Task) -> Result<Side, Failure> {
        if name != "running" {
            return Side::of(name, task).await;
        }
        let base = match &self.url {
            Some(url) => url.to_string(),
            None => node(&task.config()?),
        };
        Side::running(&base).await
    }

    /// Removes the differences that the file of approved ones lists.
    fn leave_out_approved(&self, differences: &mut Differences) -> Result<(), Failure> {
        let Some(path) = &self.allow else { return Ok(()) };
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::Usage(format!("cannot read `{}`: {error}", path.display())))?;
        let mut approved: Vec<&str> = text.lines().map(str::trim).collect();
        approved.retain(|line| !line.is_empty() && !line.starts_with('#'));
        let mut used: Vec<String> = Vec::new();
        differences.gains.retain(|one| keeps(&approved, &mut used, gain_line(one)));
        differences.losses.retain(|one| keeps(&approved, &mut used, loss_line(one)));
        differences.changes.retain(|one| keeps(&approved, &mut used, change_line(one)));
        differences.settings.retain(|one| keeps(&approved, &mut used, setting_line(one)));
        for line in approved {
            if !used.iter().any(|known| known == line) {
                Console::note(Some(&format!(
                    "no difference is `{line}`, which `{}` approves",
                    path.display()
                )));
            }
        }
        Ok(())
    }
}

/// Returns `true` unless the line is approved.
fn keeps(approved: &[&str], used: &mut Vec<String>, line: String) -> bool {
    let keeps = !approved.contains(&line.as_str());
    if !keeps {
        used.push(line);
    }
    keeps
}

impl Side {
    async fn of(name: &str, task: &Task) -> Result<Self, Failure> {
        if name == "store" {
            let config = task.config()?;
            let stored = Stored::of(&config).await;
            Console::note(stored.note.as_deref());
            let policy = stored.effective(&config).policy;
            return Ok(Self::new(config, policy, None));
        }
        let (path, checkout) = match name.split_once(':') {
            Some((revision, path)) if !Path::new(name).exists() => {
                let checkout = Checkout::of(revision, path)?;
                (checkout.source.clone(), Some(checkout))
            }
            _ => (PathBuf::from(name), None),
        };
        let config = task.loader.load(&ConfigSource::Path(path))?;
        let policy = Arc::new(config.rules.policy.clone());
        Ok(Self::new(config, policy, checkout))
    }

    fn new(config: Config, policy: Arc<Policy>, checkout: Option<Checkout>) -> Self {
        let providers = config.providers.iter().map(|provider| provider.name().clone()).collect();
        let general = config.general();
        Self { policy, places: Places::Files(config.rules.into(), checkout), providers, general }
    }

    /// Asks a node for its policy.
    async fn running(base: &str) -> Result<Self, Failure> {
        let text = AdminClient::new(base)?.text("/admin/policy").await?;
        let InForce { providers, accept_token, scopes, routes, general } =
            serde_json::from_str(&text).map_err(Failure::other)?;
        let known = providers.iter().map(|name| KnownProvider {
            name: name.clone(),
            audiences: Vec::new(),
            introspects: true,
            scopes: None,
        });
        let mut definition = Definition::new(known.collect(), general.upstreams.clone());
        definition.accept_token = accept_token;
        let mut places = HashMap::new();
        for DeclaredScope { name, settings, place } in scopes {
            places.insert(Source::Scope { name: name.clone() }, place);
            definition.add_scope(name, settings);
        }
        for (index, DeclaredRoute { definition: settings, place }) in routes.into_iter().enumerate() {
            places.insert(Source::Route { index }, place);
            definition.add_route(settings);
        }
        let compiled = Policy::compile(&definition).map_err(|errors| {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Failure::other(format!("the policy of the node cannot be read: {}", errors.join("; ")))
        })?;
        Ok(Self { policy: Arc::new(compiled.policy), places: Places::Node(places), providers, general })
    }

    fn place(&self, source: &Source) -> Option<String> {
        match &self.places {
            Places::Node(places) => places.get(source).cloned(),
            Places::Files(rules, checkout) => {
                let place = rules.place(source)?.to_string();
                Some(match checkout {
                    Some(Checkout { folder, name, .. }) => {
                        place.replace(&format!("{}/", folder.display()), &format!("{name}/"))
                    }
                    None => place,
                })
            }
        }
    }
}

/// A folder of a git revision, written to a temporary folder that only this user can read. It is removed at the end.
struct Checkout {
    folder: PathBuf,
    source: PathBuf,
    name: String,
}

impl Checkout {
    fn of(revision: &str, path: &str) -> Result<Self, Failure> {
        if revision.starts_with('-') {
            return Err(Failure::Usage(format!("expected a git revision before `:`, found `{revision}`")));
        }
        let path = path.trim_end_matches('/');
        let is_folder = git(&["cat-file", "-t", &format!("{revision}:{path}")], None)?.trim() == "tree";
        let (parent, file) = match path.rsplit_once('/') {
            _ if is_folder => (path, None),
            Some((parent, file)) => (parent, Some(file)),
            None => ("", Some(path)),
        };
        let tree = git(&["rev-parse", "--verify", &format!("{revision}:{parent}")], None)?;
        let folder = std::env::temp_dir().join(format!("scopegate-diff-{}-{}", process::id(), tree.trim()));
        create_private(&folder)?;
        let checkout = Self {
            source: file.map_or_else(|| folder.clone(), |file| folder.join(file)),
            name: format!("{revision}:{parent}").trim_end_matches('/').to_owned(),
            folder,
        };
        let index = checkout.folder.with_extension("index");
        let read = git(&["read-tree", tree.trim()], Some(&index));
        let prefix = format!("--prefix={}/", checkout.folder.display());
        let written = read.and_then(|_| git(&["checkout-index", "--all", &prefix], Some(&index)));
        // The index may not have been made.
        let _ = fs::remove_file(&index);
        written?;
        Ok(checkout)
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        // What cannot be removed is left to the system.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Runs git in the current folder and returns its output.
fn git(arguments: &[&str], index: Option<&Path>) -> Result<String, Failure> {
    let mut command = process::Command::new("git");
    command.args(arguments);
    if let Some(index) = index {
        command.env("GIT_INDEX_FILE", index);
    }
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let problem = String::from_utf8_lossy(&output.stderr);
    Err(Failure::Usage(format!("`git {}`: {}", arguments.join(" "), problem.trim())))
}

fn gain_line(one: &Difference) -> String {
    format!("gain {}: {}", one.stands_for, caller(one))
}

fn loss_line(one: &Difference) -> String {
    format!("loss {}: {}", one.stands_for, caller(one))
}

fn change_line(one: &Change) -> String {
    format!("change {}: {} {} -> {}", one.stands_for, one.key, one.old, one.new)
}

fn setting_line(one: &SettingChange) -> String {
    format!("setting {} {} -> {}", one.key, one.old, one.new)
}

/// Returns the caller of an example in words.
fn caller(one: &Difference) -> String {
    match one.caller.as_ref().map(serde_json::to_value) {
        None => "no token".to_owned(),
        Some(Ok(Value::Object(facts))) => in_words(&facts),
        Some(_) => "any token".to_owned(),
    }
}

/// Returns a supposed caller in words.
pub(super) fn described(caller: &SupposedCaller) -> String {
    match serde_json::to_value(caller) {
        Ok(Value::Object(facts)) => in_words(&facts),
        _ => "any token".to_owned(),
    }
}

fn in_words(facts: &Map<String, Value>) -> String {
    let facts: Vec<String> = facts
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name} {text}"),
            other => format!("{name} {other}"),
        })
        .collect();
    if facts.is_empty() { "any token".to_owned() } else { facts.join(", ") }
}

pub(super) fn write_text(out: &mut dyn Write, paint: Paint, differences: &Differences) -> io::Result<()> {
    for one in &differences.gains {
        writeln!(out, "{}", paint.bad(&gain_line(one)))?;
        write_example(out, paint, one)?;
    }
    for one in &differences.losses {
        writeln!(out, "{}", paint.warning(&loss_line(one)))?;
        write_example(out, paint, one)?;
    }
    for one in &differences.changes {
        writeln!(out, "{}", change_line(one))?;
        for (name, verdict) in [("old", &one.before), ("new", &one.after)] {
            let place = verdict.place.as_deref().unwrap_or_default();
            writeln!(
                out,
                "  {name} {} {}",
                verdict.route.as_deref().unwrap_or_default(),
                paint.faint(place)
            )?;
        }
    }
    for one in &differences.settings {
        let line = setting_line(one);
        writeln!(out, "{}", if one.loosens { paint.bad(&line) } else { line })?;
    }
    let exact = if differences.exact { "" } else { "; the search was given up for some rules" };
    writeln!(
        out,
        "{} gained, {} lost, {} changed, {} routes unchanged{exact}",
        differences.gains.len(),
        differences.losses.len(),
        differences.changes.len() + differences.settings.len(),
        differences.unchanged_routes
    )
}

fn write_example(out: &mut dyn Write, paint: Paint, one: &Difference) -> io::Result<()> {
    let request = &one.request;
    let mcp = request.mcp.as_ref().map(|mcp| format!(" [{mcp}]")).unwrap_or_default();
    writeln!(out, "  for example {} {}{}{mcp}", request.method, request.host, request.path)?;
    for (name, verdict) in [("old", &one.before), ("new", &one.after)] {
        let place = verdict.place.as_deref().unwrap_or_default();
        let reason = verdict.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let rule = match (&verdict.route, &verdict.rule) {
            (Some(route), Some(rule)) => format!(" by {route}: {rule}"),
            _ => String::new(),
        };
        writeln!(out, "  {name} {}{reason}{rule} {}", verdict.outcome, paint.faint(place))?;
    }
    Ok(())
}

fn write_markdown(out: &mut dyn Write, differences: &Differences) -> io::Result<()> {
    if differences.is_empty() {
        return writeln!(out, "The policies decide every request alike.");
    }
    for (title, list) in [("Gained", &differences.gains), ("Lost", &differences.losses)] {
        if list.is_empty() {
            continue;
        }
        writeln!(
            out,
            "### {title}\n\n| Requests | Caller | Example | Old | New |\n| --- | --- | --- | --- | --- |"
        )?;
        for one in list {
            let cells = [
                one.stands_for.clone(),
                caller(one),
                format!("{} {}{}", one.request.method, one.request.host, one.request.path),
                cell(&one.before),
                cell(&one.after),
            ];
            writeln!(out, "| {} |", cells.map(|text| code(&text)).join(" | "))?;
        }
        writeln!(out)?;
    }
    if !differences.changes.is_empty() {
        writeln!(out, "### Changed\n\n| Requests | Key | Old | New |\n| --- | --- | --- | --- |")?;
        for one in &differences.changes {
            let cells =
                [one.stands_for.clone(), one.key.to_owned(), one.old.to_string(), one.new.to_string()];
            writeln!(out, "| {} |", cells.map(|text| code(&text)).join(" | "))?;
        }
        writeln!(out)?;
    }
    if !differences.settings.is_empty() {
        writeln!(out, "### Settings\n\n| Key | Old | New |\n| --- | --- | --- |")?;
        for one in &differences.settings {
            let cells = [one.key.clone(), one.old.to_string(), one.new.to_string()];
            writeln!(out, "| {} |", cells.map(|text| code(&text)).join(" | "))?;
        }
    }
    Ok(())
}

fn cell(verdict: &crate::policy::diff::Verdict) -> String {
    let reason = verdict.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let place = verdict.place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
    format!("{}{reason}{place}", verdict.outcome)
}

/// Returns a text as code in a cell of a Markdown table.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace('|', "\\|").replace('\n', " "))
}
