//! Measures scopegate against the other ways to the same end, in one run: each server alone on one core, the load and
//! the upstreams on another, contenders in turn, medians, and the ratios that are asked for. See `benches/README.md`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a developer's terminal, where a failed expectation ends the comparison"
)]

mod load;
mod peers;
mod process;
mod report;
mod round;
mod scenarios;
mod world;

use std::{path::PathBuf, time::Duration};

use clap::Parser;

use crate::{report::Report, round::Effort, world::World};

/// Measures scopegate against its peers and prints a Markdown report.
#[derive(Parser)]
struct Arguments {
    /// The folder that holds the programs `scopegate` and `peer`.
    #[arg(long, default_value = "target/release")]
    programs: PathBuf,
    /// Seconds of one load.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// How often each contender is loaded.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only scenarios whose name holds this.
    #[arg(long, default_value = "")]
    only: String,
    /// What stands above the tables.
    #[arg(long, default_value = "## Figures")]
    heading: String,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let world = World::new(&arguments.programs.canonicalize().unwrap()).await;
    let effort = Effort { time: Duration::from_secs(arguments.seconds), rounds: arguments.rounds.max(1) };
    let report = tokio::task::spawn_blocking(move || {
        let mut report = Report::default();
        for (name, scenario) in scenarios::ALL {
            if name.contains(&arguments.only) {
                match scenario(&world, effort) {
                    Ok(section) => report.add(section),
                    Err(why) => eprintln!("{name} could not be measured: {why}"),
                }
            }
        }
        report.markdown(&arguments.heading)
    });
    println!("{}", report.await.unwrap());
}
