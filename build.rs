//! Takes the files of Swagger UI out of the archive that its crate holds, compressed with gzip as they are served.

use std::{
    env,
    error::Error,
    fs::File,
    io::{self, Cursor},
    path::Path,
    process::Command,
};

use flate2::{Compression, write::GzEncoder};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED as ARCHIVE;
use zip::ZipArchive;

const FILES: [&str; 4] = ["dist/swagger-ui-bundle.js", "dist/swagger-ui.css", "LICENSE", "NOTICE"];

fn main() -> Result<(), Box<dyn Error>> {
    let out = env::var("OUT_DIR")?;
    let mut archive = ZipArchive::new(Cursor::new(ARCHIVE))?;
    let first = archive.by_index(0)?.name()?.into_owned();
    let root = first.split('/').next().unwrap_or_default();
    let version = root.strip_prefix("swagger-ui-").ok_or("expected a folder `swagger-ui-VERSION`")?;
    for file in FILES {
        let mut entry = archive.by_name(&format!("{root}/{file}"))?;
        let name = file.rsplit('/').next().unwrap_or(file);
        let compressed = File::create(Path::new(&out).join(format!("{name}.gz")))?;
        let mut compressed = GzEncoder::new(compressed, Compression::best());
        io::copy(&mut entry, &mut compressed)?;
        compressed.finish()?;
    }
    println!("cargo::rustc-env=SWAGGER_UI_VERSION={version}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SCOPEGATE_COMMIT");
    println!("cargo::rustc-env=SCOPEGATE_COMMIT={}", commit().unwrap_or_else(|| "unknown".to_owned()));
    Ok(())
}

/// Returns the commit that is built: from `$SCOPEGATE_COMMIT`, or in a release from git. A development build does not say
/// one, because it would have to be built anew after every commit.
fn commit() -> Option<String> {
    if let Some(given) = env::var("SCOPEGATE_COMMIT").ok().filter(|given| !given.is_empty()) {
        return Some(given);
    }
    if env::var("PROFILE").as_deref() != Ok("release") {
        return None;
    }
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    println!("cargo::rerun-if-changed={log}");
    git(&["rev-parse", "--short=12", "HEAD"])
}

/// Returns the output of a command of git, if it succeeds.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
