//! The `scopegate` command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    scopegate::cli::main().await
}
