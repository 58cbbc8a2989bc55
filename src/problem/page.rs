//! A problem as a page, for browsers. It is served under any path of any host, so that it brings everything it needs: its
//! style is allowed by its hash, and it has no script.

use std::sync::LazyLock;

use askama::Template;
use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use scopegate_provider::Scope;

use super::Problem;

const STYLE: &str = include_str!("page/problem.css");

/// The hash by which the page's own policy allows its style (CSP level 3, section 2.3.1).
static DIGEST: LazyLock<String> =
    LazyLock::new(|| STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes())));

/// The facts that a page shows beside the problem.
#[derive(Debug, Clone, Copy)]
pub struct ProblemPage<'a> {
    /// The id of the request.
    pub request_id: &'a str,
    /// The host that the browser called.
    pub host: &'a str,
    /// The path of the documentation, if it is served.
    pub docs: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct Page<'a> {
    digest: &'a str,
    style: &'a str,
    status: u16,
    is_outage: bool,
    title: &'a str,
    advice: Vec<Part<'a>>,
    retry_after: Option<u64>,
    reason: &'a str,
    description: &'a str,
    missing: String,
    request_id: &'a str,
    host: &'a str,
    docs: Option<&'a str>,
}

/// A part of a sentence: plain, or between backquotes.
struct Part<'a> {
    text: &'a str,
    is_code: bool,
}

impl Problem {
    /// Returns the problem as a page; `None` if it cannot be rendered.
    pub fn page(&self, shown: ProblemPage<'_>) -> Option<String> {
        let parts = self.reason.advice().split('`').enumerate();
        let page = Page {
            digest: &DIGEST,
            style: STYLE,
            status: self.status.as_u16(),
            is_outage: self.status.is_server_error(),
            title: self.reason.title(),
            advice: parts.map(|(index, text)| Part { text, is_code: index % 2 == 1 }).collect(),
            retry_after: self.retry_after.map(|after| after.as_secs().max(1)),
            reason: self.reason.as_str(),
            description: &self.description,
            missing: self.missing_scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" "),
            request_id: shown.request_id,
            host: shown.host,
            docs: shown.docs,
        };
        page.render().ok()
    }
}

/// Returns `true` if a client asks for HTML by name and does not prefer JSON, as browsers do when a page is opened.
pub fn accepts_html(headers: &HeaderMap) -> bool {
    let mut html = 0.0_f32;
    let mut json = 0.0_f32;
    for value in headers.get_all(header::ACCEPT) {
        // Sent with nearly every request that no browser makes.
        if value == "*/*" {
            continue;
        }
        for range in value.to_str().unwrap_or_default().split(',') {
            let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
            let weight = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("q="));
            let weight = weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0));
            match name.trim().to_ascii_lowercase().as_str() {
                "text/html" | "application/xhtml+xml" => html = html.max(weight),
                "application/json" | "application/problem+json" => json = json.max(weight),
                _ => {}
            }
        }
    }
    html > 0.0 && html >= json
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::reason::Reason;

    fn accepts(value: &'static str) -> bool {
        let headers = [(header::ACCEPT, HeaderValue::from_static(value))].into_iter().collect();
        accepts_html(&headers)
    }

    /// A browser gets a page.
    #[test]
    fn only_a_client_that_asks_for_html_by_name_gets_a_page() {
        assert!(accepts("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(accepts("Text/HTML"));
        for value in
            ["*/*", "", "application/json", "application/json, text/html;q=0.5", "text/html;q=0", "text/*"]
        {
            assert!(!accepts(value), "{value}");
        }
    }

    #[test]
    fn the_page_allows_its_own_style_and_nothing_else() {
        let problem = Problem::new(Reason::InsufficientScope, "the token lacks `items:write`");
        let shown = ProblemPage { request_id: "7c1e", host: "api.example", docs: Some("/docs") };
        let page = problem.page(shown).unwrap();
        let (style, _) = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap();
        let digest = STANDARD.encode(digest::digest(&digest::SHA256, style.as_bytes()));
        assert!(page.contains(&format!("default-src 'none'; style-src 'sha256-{digest}'")), "{page}");
        for part in ["insufficient_scope", "7c1e", "<b>api.example</b>", "href=\"/docs\""] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("<script") && !page.contains("style=\""), "{page}");
    }

    #[test]
    fn values_of_the_caller_become_text() {
        let problem = Problem::new(Reason::UnknownIssuer, "<script>alert(1)</script>");
        let page = problem.page(ProblemPage { request_id: "1", host: "<img src=x>", docs: None }).unwrap();
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    }
}
