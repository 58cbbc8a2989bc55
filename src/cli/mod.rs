//! The command line: arguments, and a file a command.

mod admin_client;
mod check;
mod connect;
mod console;
mod diff;
#[cfg(test)]
mod documentation;
mod explain;
mod failure;
mod health;
mod init;
mod issuer;
mod manual;
mod provider;
mod replay;
mod revoke;
mod route;
mod routes;
mod scope;
mod serve;
mod shadow;
mod store;
mod stored;
mod test;
mod token;
mod trace;
mod version;
mod who;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use self::{
    console::Console,
    failure::{Failure, Task, Verdict},
};
use crate::config::{ConfigSource, Loader};

/// One auth server in front of any API.
#[derive(Debug, Parser)]
#[command(name = "scopegate", version, long_version = version::LONG, about)]
struct Arguments {
    /// The configuration: a file, or a folder of which every *.yaml is read. Else `$SCOPEGATE_CONFIG`, else
    /// `./scopegate.yaml` or `.yml`, else the settings of the environment, else what is built in for development.
    #[arg(long, global = true, value_name = "FILE|DIR")]
    config: Option<PathBuf>,
    /// Print JSON, for machines.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (what is done without a command).
    Serve,
    /// Say what is wrong with the configuration, without starting anything.
    Check(check::Check),
    /// Say which route decides a request, by which rule, and why.
    Explain(explain::Explain),
    /// Compare two policies: print which requests of which callers are gained and lost. 1 if something was loosened.
    Diff(diff::Diff),
    /// Run decision tests against the policy. 1 if one fails.
    Test(test::Test),
    /// Print the smallest sets of what a caller needs for a request.
    Who(who::Who),
    /// Print the compiled routes, the most specific first, or those that a caller reaches.
    Routes(routes::Routes),
    /// Make recorded decisions again by the policy. 1 if one of them changes.
    Replay(replay::Replay),
    /// List the routes in `mode: shadow`, or promote one: it is enforced from then on.
    #[command(subcommand)]
    Shadow(shadow::Shadow),
    /// Follow the decisions of a running node, with an administrator's token in `$SCOPEGATE_ADMIN_TOKEN`.
    Trace(trace::Trace),
    /// Ask for a token, or take one apart.
    #[command(subcommand)]
    Token(token::Token),
    /// Run the embedded issuer alone, for testing other software.
    Issuer(issuer::Issuer),
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
    /// Run the store's missing migrations.
    Migrate,
    /// Revoke tokens, block their holders, list and undo that, acting on the store itself: for the day when no admin
    /// token can be had.
    Revoke(revoke::Revoke),
    /// List, put or delete scopes of the store, acting on the store itself.
    #[command(subcommand)]
    Scope(scope::Scope),
    /// List, put or delete routes of the store, acting on the store itself.
    #[command(subcommand)]
    Route(route::Route),
    /// List providers, disable or enable one, distrust or trust a key, acting on the store itself.
    #[command(subcommand)]
    Provider(provider::Provider),
    /// Back up, restore or copy the store; list or remove its signing keys.
    #[command(subcommand)]
    Store(store::Store),
    /// Write a first configuration, from flags, questions or a sample token.
    Init(init::Init),
    /// Ask the node that runs with this configuration for its health: 0 is good, 1 is not.
    Health(health::Health),
    /// Print the completions for a shell.
    Completions(manual::Completions),
    /// Print the manual page, or write all pages to a folder.
    Man(manual::Man),
}

/// Runs the command that the arguments name: 0 is good, 1 is no, 2 is a wrong use.
pub async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // There is nobody to tell that the terminal has gone.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()) * 2);
        }
    };
    let task = Task {
        loader: Loader::new(),
        source: ConfigSource::find(arguments.config),
        console: Console::new(arguments.json),
    };
    match Box::pin(run(&arguments.command.unwrap_or(Command::Serve), &task)).await {
        Ok(Verdict::Yes) => ExitCode::SUCCESS,
        Ok(Verdict::No) => ExitCode::FAILURE,
        Err(failure) => {
            task.console.complain(&failure.to_json(), &failure.to_string());
            if failure.is_wrong_use() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

async fn run(command: &Command, task: &Task) -> Result<Verdict, Failure> {
    match command {
        Command::Serve => serve(task).await,
        Command::Check(check) => Box::pin(check.run(task)).await,
        Command::Explain(explain) => explain.run(task).await,
        Command::Diff(diff) => Box::pin(diff.run(task)).await,
        Command::Test(test) => test.run(task),
        Command::Who(who) => who.run(task).await,
        Command::Routes(routes) => routes.run(task).await,
        Command::Replay(replay) => Box::pin(replay.run(task)).await,
        Command::Shadow(shadow) => Box::pin(shadow.run(task)).await,
        Command::Trace(trace) => Box::pin(trace.run(task)).await,
        Command::Token(token) => token.run(task).await,
        Command::Issuer(issuer) => issuer.run(task).await,
        Command::Schema => schema(task),
        Command::Migrate => store::migrate(task).await,
        Command::Revoke(revoke) => revoke.run(task).await,
        Command::Scope(scope) => scope.run(task).await,
        Command::Route(route) => route.run(task).await,
        Command::Provider(provider) => provider.run(task).await,
        Command::Store(store) => Box::pin(store.run(task)).await,
        Command::Init(init) => Box::pin(init.run(task)).await,
        Command::Health(health) => health.run(task).await,
        Command::Completions(completions) => completions.run(),
        Command::Man(man) => man.run(),
    }
}

async fn serve(task: &Task) -> Result<Verdict, Failure> {
    let config = task.config()?;
    config.telemetry.log.start().map_err(Failure::other)?;
    Box::pin(serve::serve(&task.loader, &task.source, config)).await.map_err(Failure::other)?;
    Ok(Verdict::Yes)
}

/// The schema is JSON for people too.
fn schema(task: &Task) -> Result<Verdict, Failure> {
    let schema = task.loader.schema();
    task.console.show(&schema, |out, _| writeln!(out, "{schema:#}"))?;
    Ok(Verdict::Yes)
}
