//! `/docs`: Swagger UI on a page of our own. The page holds no script, and the browser loads and calls nothing from
//! anywhere else (Content Security Policy Level 3).

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, Request, Response, Result, Route, endpoint::make_sync};

/// The version of Swagger UI in this binary.
pub const SWAGGER_UI_VERSION: &str = env!("SWAGGER_UI_VERSION");

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; font-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

const PAGE: &str = include_str!("docs/index.html");
const SCRIPT: &str = include_str!("docs/docs.js");
const OWN_STYLE: &str = include_str!("docs/docs.css");

/// Returns the page at `/docs` and all that it loads, except the document that it shows.
pub fn docs() -> Route {
    let page = PAGE.replace("SWAGGER_UI_VERSION", SWAGGER_UI_VERSION);
    let files: [(_, _, &'static [u8]); 4] = [
        (
            "swagger-ui-bundle.js",
            JAVASCRIPT,
            include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz")),
        ),
        ("swagger-ui.css", STYLE, include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz"))),
        ("LICENSE", TEXT, include_bytes!(concat!(env!("OUT_DIR"), "/LICENSE.gz"))),
        ("NOTICE", TEXT, include_bytes!(concat!(env!("OUT_DIR"), "/NOTICE.gz"))),
    ];
    let own = Route::new()
        .at("/docs", Plain { kind: HTML, body: page })
        .at("/docs/", make_sync(|_| to_the_page()))
        .at("/docs/docs.js", Plain { kind: JAVASCRIPT, body: SCRIPT.to_owned() })
        .at("/docs/docs.css", Plain { kind: STYLE, body: OWN_STYLE.to_owned() });
    files.into_iter().fold(own, |route, (name, kind, packed)| {
        route.at(format!("/docs/{SWAGGER_UI_VERSION}/{name}"), Packed { kind, packed })
    })
}

const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// A file of our own: validated each time, since its address does not change with its content.
struct Plain {
    kind: &'static str,
    body: String,
}

/// A file of Swagger UI's, as a gzip member: its address holds its version, so it is kept for ever.
struct Packed {
    kind: &'static str,
    packed: &'static [u8],
}

impl Endpoint for Plain {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        if let Some(refused) = refused(&request) {
            return Ok(refused);
        }
        Ok(secured(self.kind, "no-cache").body(self.body.clone()))
    }
}

impl Endpoint for Packed {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        if let Some(refused) = refused(&request) {
            return Ok(refused);
        }
        if !takes_gzip(request.headers()) {
            return Ok(Response::builder().status(StatusCode::NOT_ACCEPTABLE).finish());
        }
        let response = secured(self.kind, "public, max-age=31536000, immutable");
        let response =
            response.header(header::CONTENT_ENCODING, "gzip").header(header::VARY, "Accept-Encoding");
        Ok(response.body(self.packed))
    }
}

/// Returns the refusal of a method that does not read.
fn refused(request: &Request) -> Option<Response> {
    if [Method::GET, Method::HEAD].contains(request.method()) {
        return None;
    }
    let refused = Response::builder().status(StatusCode::METHOD_NOT_ALLOWED);
    Some(refused.header(header::ALLOW, "GET, HEAD").finish())
}

fn secured(kind: &'static str, cache: &'static str) -> poem::ResponseBuilder {
    Response::builder()
        .header(header::CONTENT_TYPE, HeaderValue::from_static(kind))
        .header(header::CACHE_CONTROL, HeaderValue::from_static(cache))
        .header(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))
        .header(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))
        .header(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"))
}

/// Returns `true` if gzip may be answered: a client that names no coding takes every one (RFC 9110, section 12.5.3).
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut said = headers.get_all(header::ACCEPT_ENCODING).iter().peekable();
    if said.peek().is_none() {
        return true;
    }
    let codings = said.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let quality =
        |coding: &str| coding.split_once("q=").map_or(1.0, |(_, q)| q.trim().parse().unwrap_or(0.0));
    let weighed =
        codings.map(|coding| (coding.split(';').next().unwrap_or_default().trim(), quality(coding)));
    let mut any = false;
    for (name, quality) in weighed {
        if name.eq_ignore_ascii_case("gzip") {
            return quality > 0.0;
        }
        any |= name == "*" && quality > 0.0;
    }
    any
}

/// Redirects to the page, whose own addresses are relative to `/docs`.
fn to_the_page() -> Response {
    Response::builder().status(StatusCode::PERMANENT_REDIRECT).header(header::LOCATION, "../docs").finish()
}

#[cfg(test)]
mod tests {
    use poem::test::TestClient;

    use super::*;

    fn accepts(value: &str) -> bool {
        takes_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, value.parse().unwrap())]))
    }

    #[test]
    fn gzip_is_sent_unless_it_is_refused() {
        assert!(takes_gzip(&HeaderMap::new()));
        assert!(accepts("gzip, deflate, br") && accepts("br;q=1.0, GZIP;q=0.5") && accepts("*"));
        assert!(!accepts("identity") && !accepts("gzip;q=0") && !accepts("*, gzip;q=0") && !accepts(""));
    }

    #[tokio::test]
    async fn the_page_holds_no_script_and_may_load_from_here_only() {
        let response = TestClient::new(docs()).get("/docs").send().await;
        response.assert_status_is_ok();
        let policy = response.0.header("content-security-policy").unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        let page = response.0.into_body().into_string().await.unwrap();
        assert!(!page.contains("<script>") && !page.contains("onload") && !page.contains("://"), "{page}");
    }

    #[tokio::test]
    async fn whatever_the_page_names_is_there() {
        let client = TestClient::new(docs());
        let page = client.get("/docs").send().await.0.into_body().into_string().await.unwrap();
        let names: Vec<&str> = page.split('"').filter(|text| text.starts_with("docs/")).collect();
        assert_eq!(names.len(), 4);
        for name in names {
            let response = client.get(format!("/{name}")).send().await;
            response.assert_status_is_ok();
            response.assert_header("x-content-type-options", "nosniff");
        }
    }

    #[tokio::test]
    async fn the_licence_of_swagger_ui_goes_with_it() {
        let client = TestClient::new(docs());
        for name in ["LICENSE", "NOTICE"] {
            let response = client.get(format!("/docs/{SWAGGER_UI_VERSION}/{name}")).send().await;
            response.assert_status_is_ok();
            response.assert_header("content-encoding", "gzip");
        }
    }

    #[tokio::test]
    async fn a_file_whose_address_holds_its_version_is_kept_for_ever() {
        let path = format!("/docs/{SWAGGER_UI_VERSION}/swagger-ui.css");
        let response = TestClient::new(docs()).get(path).send().await;
        response.assert_header("cache-control", "public, max-age=31536000, immutable");
        response.assert_header("content-type", "text/css; charset=utf-8");
    }

    #[tokio::test]
    async fn the_address_with_a_final_slash_leads_to_the_page() {
        let response = TestClient::new(docs()).get("/docs/").send().await;
        response.assert_status(StatusCode::PERMANENT_REDIRECT);
        response.assert_header("location", "../docs");
    }

    #[tokio::test]
    async fn only_reading_is_allowed() {
        let response = TestClient::new(docs()).post("/docs").send().await;
        response.assert_status(StatusCode::METHOD_NOT_ALLOWED);
    }
}
