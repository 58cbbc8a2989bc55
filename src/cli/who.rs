//! `scopegate who`: the smallest sets of what a caller needs for a request.

use std::io::{self, Write};

use clap::Args;
use http::Method;

use super::{
    console::{Console, Paint},
    failure::{Failure, Task, Verdict},
    stored::Stored,
};
use crate::policy::{Needs, Target};

#[derive(Debug, Args)]
pub(super) struct Who {
    /// The method, such as GET.
    method: Method,
    /// The URL, or a path for any host.
    url: String,
}

impl Who {
    pub(super) async fn run(&self, task: &Task) -> Result<Verdict, Failure> {
        let config = task.config()?;
        let target =
            Target::of_url(&self.method, &self.url).map_err(|error| Failure::Usage(error.to_string()))?;
        let stored = Stored::of(&config).await;
        let policy = stored.effective(&config).policy;
        Console::note(stored.note.as_deref());
        let needs = policy.needs_of(&target, |source| config.rules.place(source).map(ToString::to_string));
        task.console.show(&needs, |out, paint| write_needs(out, paint, &needs))?;
        Ok(needs.denied.is_none().into())
    }
}

fn write_needs(out: &mut dyn Write, paint: Paint, needs: &Needs) -> io::Result<()> {
    if let Some(denied) = &needs.denied {
        writeln!(out, "{}: {denied}", paint.bad("no caller"))?;
    }
    for (index, needs) in needs.routes.iter().enumerate() {
        let also = if index > 0 { "and " } else { "" };
        writeln!(out, "{also}{}  {}", needs.route, paint.faint(&needs.place))?;
        match needs.rule {
            "anonymous" => writeln!(out, "  every request")?,
            "optional" => writeln!(out, "  every request without a token or with an accepted one")?,
            "authenticated" => writeln!(out, "  any accepted token")?,
            _ => {}
        }
        for set in &needs.sets {
            let texts: Vec<&str> = set.iter().map(|need| need.text.as_str()).collect();
            writeln!(out, "  {}", texts.join(", "))?;
        }
    }
    Ok(())
}
