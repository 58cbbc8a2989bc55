//! `/admin/who`: the smallest sets of what a caller needs, as `scopegate who` prints them.

#![expect(clippy::unused_async, reason = "poem-openapi asks for async functions")]

use http::Method;
use poem_openapi::{OpenApi, param::Query, payload::Json};
use serde_json::{Value, json};

use super::{Admin, routes::id, unprocessable};
use crate::{
    policy::{Route, Target},
    problem::Problem,
    reason::Reason,
};

/// The endpoint.
#[derive(Clone, Debug)]
pub struct WhoApi(pub(super) Admin);

#[OpenApi]
impl WhoApi {
    /// List the smallest sets of what a caller needs, for a request (`method`, `url`) or for a route (`route`, `match`).
    #[oai(path = "/admin/who", method = "get", operation_id = "who")]
    async fn who(
        &self,
        /// The method of the request; GET unless given.
        Query(method): Query<Option<String>>,
        /// The target of the request: `https://host/path`, or a path.
        Query(url): Query<Option<String>>,
        /// The id of a route in `/admin/routes`.
        Query(route): Query<Option<String>>,
        /// Its pattern there, such as `GET /items/**`, where one declaration has several.
        #[oai(name = "match")]
        Query(pattern): Query<Option<String>>,
    ) -> poem::Result<Json<Value>> {
        let state = self.0.gate.current();
        let place = |source: &_| self.0.node.place(source);
        let needs = match (url, route) {
            (Some(url), None) if pattern.is_none() => {
                let method = parse_method(method.as_deref().unwrap_or("GET"))?;
                let target = Target::of_url(&method, &url)
                    .map_err(|error| unprocessable(Reason::InvalidQuestion, error.to_string()))?;
                state.policy().needs_of(&target, place)
            }
            (None, Some(wanted)) if method.is_none() => {
                let is_selected = |route: &Route| {
                    id(route.source()) == wanted
                        && pattern.as_ref().is_none_or(|pattern| route.to_string() == *pattern)
                };
                let needs = state.policy().needs_of_route(is_selected, place);
                needs
                    .ok_or_else(|| Problem::new(Reason::NotFound, format!("there is no route `{wanted}`")))?
            }
            _ => {
                let description =
                    "expected `url`, with or without `method`; or `route`, with or without `match`";
                return Err(unprocessable(Reason::InvalidQuestion, description).into());
            }
        };
        Ok(Json(json!(needs)))
    }
}

fn parse_method(text: &str) -> Result<Method, Problem> {
    text.parse().map_err(|_| {
        unprocessable(Reason::InvalidQuestion, format!("expected a method such as GET, found `{text}`"))
    })
}
