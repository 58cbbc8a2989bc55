//! The pages of the operator page: one shell for all screens, and the sign-in page.

use askama::Template;
use http::{HeaderValue, StatusCode, header};
use poem::Response;

use super::assets::ASSETS;

/// `form-action` and `frame-ancestors` do not fall back to `default-src` (Content Security Policy Level 3, section 6).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// An entry of the navigation.
pub(super) struct Screen {
    pub(super) path: &'static str,
    pub(super) title: &'static str,
    pub(super) icon: &'static str,
    pub(super) key: usize,
    module: &'static str,
}

const SCREENS: [Screen; 6] = [
    Screen { path: "", title: "Now", icon: "now", key: 1, module: "now" },
    Screen { path: "/why", title: "Why", icon: "why", key: 2, module: "why" },
    Screen { path: "/policy", title: "Policy", icon: "policy", key: 3, module: "policy" },
    Screen { path: "/providers", title: "Providers", icon: "keys", key: 4, module: "providers" },
    Screen { path: "/revocations", title: "Revocations", icon: "revoke", key: 5, module: "revocations" },
    Screen { path: "/audit", title: "Audit", icon: "audit", key: 6, module: "audit" },
];

/// The values that every page needs.
pub(super) struct Page {
    /// The path of the admin endpoints, base path included: `/admin`.
    pub(super) admin: String,
    /// The path of the assets of this binary.
    pub(super) assets: String,
    pub(super) title: &'static str,
    pub(super) module: &'static str,
}

impl Page {
    fn new(admin: &str, title: &'static str, module: &'static str) -> Self {
        let assets = format!("{admin}/ui/assets/{}", ASSETS.version);
        Self { admin: admin.to_owned(), assets, title, module }
    }

    #[expect(clippy::unused_self, reason = "templates call methods of their values")]
    fn screens(&self) -> &'static [Screen] {
        &SCREENS
    }
}

macro_rules! screens {
    ($($template:ident $file:literal),* $(,)?) => {
        $(
            #[derive(Template)]
            #[template(path = $file)]
            struct $template {
                page: Page,
            }
        )*
    };
}

screens! {
    Now "now.html",
    Why "why.html",
    Policy "policy.html",
    Providers "providers.html",
    Revocations "revocations.html",
    Audit "audit.html",
}

/// The refusal that the sign-in page shows.
pub(super) struct SignInRefusal {
    pub(super) description: String,
    pub(super) reason: String,
    pub(super) request_id: String,
}

/// The sign-in page.
#[derive(Template)]
#[template(path = "sign_in.html")]
pub(super) struct SignIn {
    pub(super) page: Page,
    pub(super) site: String,
    pub(super) rule: String,
    pub(super) read_rule: Option<String>,
    /// The providers at which a person can sign in.
    pub(super) providers: Vec<String>,
    /// The screen to return to.
    pub(super) to: String,
    pub(super) version: &'static str,
    pub(super) refusal: Option<SignInRefusal>,
}

/// A page that moves on: on a redirect from another site, a browser does not send a `SameSite=Strict` cookie.
#[derive(Template)]
#[template(path = "signed_in.html")]
struct SignedIn {
    page: Page,
    to: String,
}

/// The state of a node, for the page at `/` of the operations listener.
#[derive(Debug)]
pub struct Landing {
    /// Set if the node can decide.
    pub ready: bool,
    /// The reasons for which it cannot.
    pub reasons: Vec<String>,
    /// The faults that do not keep it from deciding.
    pub degraded: Vec<String>,
    /// The name of the node.
    pub node: String,
    /// The number of the configuration in force.
    pub generation: u64,
    /// The time since the node started, in words.
    pub uptime: String,
    /// The address of the operator page, if it is served.
    pub administration: Option<String>,
    /// The address of the documentation, if it is served.
    pub docs: Option<String>,
}

#[derive(Template)]
#[template(path = "landing.html")]
struct LandingTemplate {
    page: Page,
    ready: bool,
    reasons: Vec<String>,
    degraded: Vec<String>,
    node: String,
    version: &'static str,
    generation: u64,
    uptime: String,
    administration: Option<String>,
    docs: Option<String>,
}

impl Landing {
    /// Returns the page.
    pub fn response(self) -> Response {
        let assets = format!("/assets/{}", ASSETS.version);
        let page = Page { admin: String::new(), assets, title: "Operations", module: "" };
        let Self { ready, reasons, degraded, node, generation, uptime, administration, docs } = self;
        let version = env!("CARGO_PKG_VERSION");
        let template = LandingTemplate {
            page,
            ready,
            reasons,
            degraded,
            node,
            version,
            generation,
            uptime,
            administration,
            docs,
        };
        html(StatusCode::OK, template.render())
    }
}

/// Returns the screen at `path` below `/admin/ui`, or `None`.
pub(super) fn screen(admin: &str, path: &str) -> Option<Response> {
    let first = path.split('/').nth(1).unwrap_or_default();
    let screen = SCREENS.iter().find(|screen| screen.path.trim_start_matches('/') == first)?;
    let is_deeper = path.split('/').count() > 2;
    if is_deeper && screen.module != "policy" {
        return None;
    }
    let page = Page::new(admin, screen.title, screen.module);
    let rendered = match screen.module {
        "now" => Now { page }.render(),
        "why" => Why { page }.render(),
        "policy" => Policy { page }.render(),
        "providers" => Providers { page }.render(),
        "revocations" => Revocations { page }.render(),
        _ => Audit { page }.render(),
    };
    Some(html(StatusCode::OK, rendered))
}

/// Returns the values of the sign-in page.
pub(super) fn sign_in_page(admin: &str) -> Page {
    Page::new(admin, "Sign in", "")
}

/// Returns the sign-in page as a response.
pub(super) fn sign_in(status: StatusCode, page: &SignIn) -> Response {
    html(status, page.render())
}

/// Returns the page that moves on to `to` after a sign-in.
pub(super) fn signed_in(admin: &str, to: &str) -> Response {
    let page = Page::new(admin, "Signed in", "");
    html(StatusCode::OK, SignedIn { page, to: to.to_owned() }.render())
}

fn html(status: StatusCode, rendered: askama::Result<String>) -> Response {
    let Ok(body) = rendered else {
        return Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR).finish();
    };
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "text/html; charset=utf-8")
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::REFERRER_POLICY, "no-referrer")
        .header("cross-origin-opener-policy", "same-origin")
        .body(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response) -> String {
        response.into_body().into_string().await.unwrap()
    }

    #[tokio::test]
    async fn every_screen_is_served_without_inline_script_or_style() {
        for screen in &SCREENS {
            let response = super::screen("/admin", screen.path).unwrap();
            assert_eq!(response.header("content-security-policy"), Some(POLICY));
            assert_eq!(response.header("cache-control"), Some("no-store"));
            let page = text(response).await;
            assert!(page.contains(&format!("/{}.js", screen.module)), "{page}");
            assert!(page.contains(&format!("aria-current=\"page\" title=\"{}\"", screen.title)), "{page}");
            assert!(!page.contains("<script>") && !page.contains("style="), "{page}");
            for handler in ["onclick=", "onload=", "onerror=", "onsubmit="] {
                assert!(!page.contains(handler), "{page}");
            }
        }
    }

    #[test]
    fn a_route_has_an_address_of_its_own_and_other_screens_have_none_below() {
        assert!(screen("/admin", "/policy/file-3").is_some());
        assert!(screen("/admin", "/audit/3").is_none());
        assert!(screen("/admin", "/nothing").is_none());
    }

    #[tokio::test]
    async fn values_of_callers_become_text_on_the_sign_in_page() {
        let page = SignIn {
            page: sign_in_page("/admin"),
            site: "<img src=x onerror=alert(1)>".to_owned(),
            rule: "items".to_owned(),
            read_rule: None,
            providers: vec!["okta".to_owned()],
            to: "/admin/ui\"><script>".to_owned(),
            version: "1",
            refusal: None,
        };
        let page = text(sign_in(StatusCode::OK, &page)).await;
        assert!(!page.contains("<img") && !page.contains("\"><script>"), "{page}");
    }
}
