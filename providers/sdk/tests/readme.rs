//! README's "Write a provider", followed literally in a fresh crate.
#![expect(clippy::unwrap_used, reason = "a failed expectation fails the test")]

use std::{fs, path::PathBuf, process::Command};

/// Returns the text of the first block of this language after `heading`.
fn block<'a>(readme: &'a str, heading: &str, language: &str) -> &'a str {
    let section = readme.split(heading).nth(1).unwrap();
    let block = section.split(&format!("```{language}\n")).nth(1).unwrap();
    block.split("```").next().unwrap()
}

#[test]
fn readmes_provider_compiles_in_a_fresh_crate() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let folder = std::env::temp_dir().join(format!("scopegate-fixed-token-{}", std::process::id()));
    fs::create_dir_all(folder.join("src")).unwrap();
    let manifest = block(&readme, "## Write a provider", "toml");
    let sdk = root.join("providers/sdk").display().to_string();
    fs::write(folder.join("Cargo.toml"), manifest.replace("providers/sdk", &sdk)).unwrap();
    fs::write(folder.join("src/lib.rs"), block(&readme, "## Write a provider", "rust,no_run")).unwrap();
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let checked = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--quiet"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", root.join("target/readme"))
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
