//! Measures scopegate against its peers and an earlier revision, in one run: each server alone on one core, the load and
//! the upstreams on another, contenders in turn, medians, and ratios with their limits. See `benches/README.md`.
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
    /// The program `scopegate` of an earlier revision, to be measured beside this one.
    #[arg(long)]
    earlier: Option<PathBuf>,
    /// Seconds of one load.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// The number of loads of each contender.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only scenarios whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// The heading above the tables.
    #[arg(long, default_value = "## Figures")]
    heading: String,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let world = World::new(&arguments.programs.canonicalize().unwrap(), arguments.earlier).await;
    let effort = Effort { time: Duration::from_secs(arguments.seconds), rounds: arguments.rounds.max(1) };
    let report = tokio::task::spawn_blocking(move || {
        let mut report = Report::default();
        for (name, scenario) in scenarios::ALL {
            if name.contains(&arguments.only) {
                match scenario.run(&world, effort) {
                    Ok(sections) => sections.into_iter().for_each(|section| report.add(section)),
                    Err(reason) => eprintln!("{name} could not be measured: {reason}"),
                }
            }
        }
        report.markdown(&arguments.heading)
    });
    println!("{}", report.await.unwrap());
}
