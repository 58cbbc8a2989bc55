//! The command line.

mod serve;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::config::{ConfigSource, Loader};

/// One auth server in front of any API.
#[derive(Debug, Parser)]
#[command(name = "scopegate", version, about)]
struct Arguments {
    /// The configuration: a file, or a folder of which every *.yaml is read. Else $SCOPEGATE_CONFIG, else
    /// ./scopegate.yaml, else what is built in for development.
    #[arg(long, global = true, value_name = "FILE|DIR")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (what is done without a command).
    Serve,
}

/// Runs the command that the arguments name: 0 is good, 1 is no, 2 is a wrong use.
pub async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()) * 2);
        }
    };
    let source = ConfigSource::find(arguments.config);
    let loader = Loader::new();
    let ended = match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => run(&loader, &source).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody to tell that the terminal has gone.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(loader: &Loader, source: &ConfigSource) -> Result<(), Box<dyn std::error::Error>> {
    let config = loader.load(source)?;
    config.telemetry.log.start()?;
    serve::serve(loader, source, config).await?;
    Ok(())
}
