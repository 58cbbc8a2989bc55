//! `/admin/policy`: the policy in force as a whole, for a comparison elsewhere.

use poem::{Endpoint, IntoResponse, Request, Response, Result, web::Json};
use serde_json::{Value, json};

use super::Admin;
use crate::gate::effective_policy;

/// `GET /admin/policy`: scopes and routes as the configuration would write them, with their places, and the settings for
/// all routes. Holds no secret.
#[derive(Debug, Clone)]
pub struct PolicyInForce(pub Admin);

impl Endpoint for PolicyInForce {
    type Output = Response;

    async fn call(&self, _: Request) -> Result<Response> {
        let stored = self.0.store.policy();
        let definition = effective_policy(&self.0.node.definition(), &stored).definition;
        let place = |source| self.0.node.place(source).unwrap_or_else(|| source.to_string());
        let scopes: Vec<Value> = definition
            .scopes()
            .map(|(source, name, settings)| json!({ "name": name, "settings": settings, "place": place(source) }))
            .collect();
        let routes: Vec<Value> = definition
            .routes()
            .map(|(source, settings)| json!({ "definition": settings, "place": place(source) }))
            .collect();
        let providers: Vec<_> = definition.providers.iter().map(|provider| &provider.name).collect();
        Ok(Json(json!({
            "base": { "generation": self.0.node.status().generation, "change": stored.change },
            "providers": providers,
            "accept_token": definition.accept_token,
            "scopes": scopes,
            "routes": routes,
            "general": self.0.node.general(),
        }))
        .with_header(http::header::CACHE_CONTROL, "no-store")
        .into_response())
    }
}
