//! `scopegate completions` and `scopegate man`: what packages install beside the program, from the definition of its
//! arguments.

use std::{io, path::PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{
    Arguments,
    failure::{Failure, Verdict},
};

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// The folder to which a page for each command is written, as `scopegate-COMMAND.1`.
    folder: Option<PathBuf>,
}

impl Completions {
    pub(super) fn run(&self) -> Result<Verdict, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "scopegate", &mut script);
        io::Write::write_all(&mut io::stdout().lock(), &script)?;
        Ok(Verdict::Yes)
    }
}

impl Man {
    pub(super) fn run(&self) -> Result<Verdict, Failure> {
        let command = Arguments::command();
        match &self.folder {
            Some(folder) => clap_mangen::generate_to(command, folder)?,
            None => clap_mangen::Man::new(command).render(&mut io::stdout().lock())?,
        }
        Ok(Verdict::Yes)
    }
}
