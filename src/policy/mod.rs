//! The policy: pure decisions about requests, without web framework, database or clock.
//!
//! A request becomes a [`Target`], its one normal form. A [`Policy`] is compiled from routes and scopes as they are
//! written; [`Policy::resolve`] finds the routes that decide a target, and [`Resolved::decide`] applies their rules.
//!
//! ```
//! use http::Method;
//! use scopegate::policy::{Definition, Policy, RawTarget, Scheme, Target, TokenUse};
//!
//! # let yaml = r#"{"match": "GET /items/**", "allow": "authenticated"}"#;
//! let mut definition = Definition::default();
//! definition.add_route(serde_json::from_str(yaml)?);
//! let policy = Policy::compile(&definition).map_err(|errors| errors[0].clone())?.policy;
//!
//! let target = Target::parse(RawTarget {
//!     method: &Method::GET,
//!     scheme: Scheme::Https,
//!     authority: None,
//!     hosts: ["api.example.com"],
//!     path_and_query: b"/items/1?verbose",
//! })?;
//! let resolved = policy.resolve(&target).map_err(|refused| refused.denial)?;
//! assert_eq!(resolved.token_use(), TokenUse::Required);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod analysis;
mod case;
mod check;
mod compare;
mod compile;
mod decision;
mod decision_test;
mod definition;
pub mod diff;
mod error;
mod explain;
mod hierarchy;
mod host;
mod interpretations;
mod irregular;
mod literal;
mod loosening;
mod mcp;
mod methods;
mod mutants;
mod path;
mod pattern;
pub mod replay;
mod requirement;
mod route;
mod rule;
mod rules;
mod scope_routes;
pub mod settings;
mod strip;
mod supposed;
mod table;
mod target;
mod terms;
#[cfg(test)]
mod tests;
mod tree;
mod who;

pub use crate::reason::Reason;
pub use analysis::Finding;
pub use compile::{Compiled, Warning};
pub use decision::{Decision, Denial, Refused};
pub use decision_test::{DecisionTest, Expectation, TestRequest, TestResult};
pub use definition::{Definition, KnownProvider, KnownUpstream, Source};
pub use error::{PolicyError, Problem};
pub use explain::{
    AlternativeFacts, Considered, Explanation, Interpretation, Outcome, RouteFacts, ShadowFacts, TargetFacts,
    TermFacts,
};
pub use host::HostError;
pub use irregular::{Irregularities, Irregularity};
pub use loosening::{Loosened, LoosenedPart};
pub use mcp::{FIRST_MCP_REVISION, McpError, McpFacts, McpSelector};
pub use methods::Methods;
pub use mutants::Mutant;
pub use pattern::{HostPath, HostPattern, PathPattern, Pattern, PatternError, Segment};
pub use requirement::{ActorTest, Alternative, ClaimTest, ClaimValue};
pub use route::{Route, RouteOptions};
pub use rule::{CallerAt, Rule, TokenUse};
pub use rules::{RuleError, Vocabulary};
pub use settings::FindingKind;
pub use settings::PathCase;
pub use supposed::SupposedCaller;
pub use table::{DeclaredScope, Found, Policy, Resolved};
pub use target::{RawTarget, Scheme, Target, TargetError};
pub use terms::Term;
pub use who::{Need, Needs, RouteNeeds};
