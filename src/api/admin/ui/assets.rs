//! The styles, scripts and icons of the operator page: compressed once at start, served below a path that changes with
//! their content, so that a browser may keep them for ever.

use std::{io::Write, sync::LazyLock};

use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, StatusCode, header};
use poem::Response;

use crate::api::docs::takes_gzip;

/// A file as it is compiled into the binary.
struct File {
    name: &'static str,
    content: &'static [u8],
}

/// A file and its gzip member.
struct Asset {
    name: &'static str,
    plain: Bytes,
    packed: Bytes,
}

/// All files of the page under one version.
pub(super) struct Assets {
    /// The first characters of the digest of all files.
    pub(super) version: String,
    files: Vec<Asset>,
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(File { name: $name, content: include_bytes!(concat!("assets/", $name)) }),*]
    };
}

const FILES: &[File] = files![
    "api.js",
    "audit.js",
    "chart.js",
    "dom.js",
    "favicon.svg",
    "icons.svg",
    "logo.svg",
    "now.js",
    "plain.css",
    "policy.js",
    "providers.js",
    "revocations.js",
    "shadow.js",
    "theme.js",
    "tokens.css",
    "ui.css",
    "ui.js",
    "why.js",
];

/// The assets of this binary.
pub(super) static ASSETS: LazyLock<Assets> = LazyLock::new(Assets::pack);

impl Assets {
    fn pack() -> Self {
        let mut digest = Context::new(&SHA256);
        for file in FILES {
            digest.update(file.name.as_bytes());
            digest.update(file.content);
        }
        let version = URL_SAFE_NO_PAD.encode(digest.finish()).chars().take(12).collect();
        let files = FILES.iter().map(|file| Asset {
            name: file.name,
            plain: Bytes::from_static(file.content),
            packed: gzip(file.content).into(),
        });
        Self { version, files: files.collect() }
    }

    /// Returns the file at `version/name`, or 404. A file of another version is not served: a page of an earlier binary
    /// reloads with the files that belong together.
    pub(super) fn response(&self, path: &str, request: &HeaderMap) -> Response {
        let name = path.split_once('/').filter(|(version, _)| *version == self.version).map(|(_, name)| name);
        let Some(asset) = self.files.iter().find(|asset| Some(asset.name) == name) else {
            return Response::builder().status(StatusCode::NOT_FOUND).finish();
        };
        let response = Response::builder()
            .header(header::CONTENT_TYPE, content_type(asset.name))
            .header(header::CACHE_CONTROL, "public, max-age=31536000, immutable")
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header(header::VARY, "Accept-Encoding");
        if takes_gzip(request) {
            response.header(header::CONTENT_ENCODING, "gzip").body(asset.packed.clone())
        } else {
            response.body(asset.plain.clone())
        }
    }

    /// Returns the size of all files together, compressed, in bytes.
    #[cfg(test)]
    fn packed_size(&self) -> usize {
        self.files.iter().map(|asset| asset.packed.len()).sum()
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail; an empty member would show in the test of the sizes.
    let written = encoder.write_all(content);
    written.and_then(|()| encoder.finish()).unwrap_or_default()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        _ => "image/svg+xml",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_together_take_less_than_60_kilobytes_compressed() {
        let size = ASSETS.packed_size();
        assert!((10_000..60_000).contains(&size), "{size} bytes");
    }

    #[test]
    fn a_file_is_served_under_its_version_only() {
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, "gzip".parse().unwrap())]);
        let found = ASSETS.response(&format!("{}/ui.css", ASSETS.version), &headers);
        assert_eq!(found.status(), StatusCode::OK);
        assert_eq!(found.header("content-encoding"), Some("gzip"));
        assert_eq!(found.header("cache-control"), Some("public, max-age=31536000, immutable"));
        assert_eq!(ASSETS.response("older/ui.css", &headers).status(), StatusCode::NOT_FOUND);
        assert_eq!(
            ASSETS.response(&format!("{}/../ui.css", ASSETS.version), &headers).status(),
            StatusCode::NOT_FOUND
        );
    }

    /// The pairs of colours that are used together have the contrast that WCAG 2.2 AA asks for: 4.5 for text, 3 for
    /// edges of controls.
    #[test]
    fn text_and_edges_have_enough_contrast_in_both_themes() {
        let css = include_str!("assets/tokens.css");
        let colour = |name: &str, dark: bool| {
            let (_, rest) = css.split_once(&format!("--{name}: light-dark(")).unwrap();
            let (pair, _) = rest.split_once(')').unwrap();
            let hex = pair.split(", ").nth(usize::from(dark)).unwrap();
            [1, 3, 5].map(|at| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0)
        };
        let luminance = |rgb: [f64; 3]| {
            let [r, g, b] = rgb
                .map(|part| if part <= 0.03928 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) });
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let grounds = ["paper", "raised", "sunk"];
        let mut pairs = Vec::new();
        for ground in grounds {
            let texts = ["ink", "ink-2", "ink-3", "permit", "deny", "outage", "shadow"];
            pairs.extend(texts.map(|text| (text.to_owned(), ground.to_owned(), 4.5)));
            pairs.extend(["control", "focus"].map(|edge| (edge.to_owned(), ground.to_owned(), 3.0)));
        }
        for tone in ["permit", "deny", "outage", "shadow"] {
            pairs.push((tone.to_owned(), format!("{tone}-wash"), 4.5));
        }
        for (front, ground, least) in pairs {
            for dark in [false, true] {
                let a = luminance(colour(&front, dark));
                let b = luminance(colour(&ground, dark));
                let ratio = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(ratio >= least, "{front} on {ground}, dark: {dark}: {ratio:.2}");
            }
        }
    }
}
