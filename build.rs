//! Takes Swagger UI's files out of the archive that a crate brings, as gzip members ready to be served.
//!
//! An entry of a ZIP archive and a gzip member hold the same thing, a deflate stream and a CRC-32, so neither needs to be
//! unpacked: only the frame changes (APPNOTE 6.3, sections 4.3 and 4.4; RFC 1952, section 2.3).

use std::{env, error::Error, fs, path::Path, process::Command};

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED as ARCHIVE;

const FILES: [&str; 4] = ["dist/swagger-ui-bundle.js", "dist/swagger-ui.css", "LICENSE", "NOTICE"];

fn main() -> Result<(), Box<dyn Error>> {
    let out = env::var("OUT_DIR")?;
    let entries = entries(ARCHIVE).ok_or("the archive of Swagger UI is not a ZIP archive")?;
    let first = entries.first().ok_or("the archive of Swagger UI is empty")?;
    let root = first.name.split('/').next().unwrap_or_default();
    let version = root.strip_prefix("swagger-ui-").ok_or("expected a folder `swagger-ui-VERSION`")?;
    for file in FILES {
        let wanted = format!("{root}/{file}");
        let entry = entries.iter().find(|entry| entry.name == wanted).ok_or(format!("no {wanted}"))?;
        let member = gzip_member(ARCHIVE, entry).ok_or(format!("{wanted} cannot be read"))?;
        let name = file.rsplit('/').next().unwrap_or(file);
        fs::write(Path::new(&out).join(format!("{name}.gz")), member)?;
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

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

struct Entry<'a> {
    name: &'a str,
    deflated: bool,
    crc: [u8; 4],
    packed: usize,
    size: [u8; 4],
    offset: usize,
}

/// The entries of the central directory.
fn entries(archive: &[u8]) -> Option<Vec<Entry<'_>>> {
    let end = archive.windows(4).rposition(|window| window == b"PK\x05\x06")?;
    let mut at = number(archive, end + 16)?;
    let mut entries = Vec::new();
    while archive.get(at..at + 4)? == b"PK\x01\x02" {
        let (name, extra, comment) =
            (short(archive, at + 28)?, short(archive, at + 30)?, short(archive, at + 32)?);
        entries.push(Entry {
            name: std::str::from_utf8(archive.get(at + 46..at + 46 + name)?).ok()?,
            deflated: short(archive, at + 10)? == 8,
            crc: four(archive, at + 16)?,
            packed: number(archive, at + 20)?,
            size: four(archive, at + 24)?,
            offset: number(archive, at + 42)?,
        });
        at += 46 + name + extra + comment;
    }
    Some(entries)
}

fn gzip_member(archive: &[u8], entry: &Entry<'_>) -> Option<Vec<u8>> {
    let start = entry.offset + 30 + short(archive, entry.offset + 26)? + short(archive, entry.offset + 28)?;
    let data = archive.get(start..start + entry.packed)?;
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
    if !entry.deflated {
        // One last block, stored (RFC 1951, section 3.2.4).
        let length = u16::try_from(data.len()).ok()?;
        member.push(1);
        member.extend(length.to_le_bytes());
        member.extend((!length).to_le_bytes());
    }
    member.extend(data);
    member.extend(entry.crc);
    member.extend(entry.size);
    Some(member)
}

fn four(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..at + 4)?.try_into().ok()
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(four(bytes, at)?)).ok()
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}
