//! What is wrong with a policy, and what to write instead.

use scopegate_provider::{ClaimPathError, Scope};

use super::{LoosenedPart, PatternError, Source};

/// Something wrong in a definition: where, and what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{source}: `{key}`: {problem}", source = .at)]
pub struct PolicyError {
    /// The route or scope.
    pub at: Source,
    /// The key in it, such as `match[1]` or `require.any_of[0].all`.
    pub key: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not a pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// An empty list of patterns.
    #[error("expected at least one pattern, found an empty list")]
    NoPattern,
    /// Neither `require` nor `allow`.
    #[error(
        "expected `require` or `allow`: write `require: <scope>`, or `allow: authenticated` for any good token"
    )]
    NeitherRequireNorAllow,
    /// Both `require` and `allow`.
    #[error("expected either `require` or `allow`, found both: leave one out")]
    RequireAndAllow,
    /// A scope that `scopes` does not declare.
    #[error("the scope `{scope}` is not declared{}", instead(nearest.as_ref().map(Scope::as_str), "declare it under `scopes`"))]
    UndeclaredScope {
        /// The scope.
        scope: Scope,
        /// The declared scope that looks most like it.
        nearest: Option<Scope>,
    },
    /// A scope that is declared twice.
    #[error("the scope is already declared by {other}")]
    DuplicateScope {
        /// Where.
        other: Source,
    },
    /// A provider that is not configured.
    #[error("there is no provider `{name}`{}", instead(nearest.as_deref(), "configure it under `providers`"))]
    UnknownProvider {
        /// The name.
        name: String,
        /// The provider whose name looks most like it.
        nearest: Option<String>,
    },
    /// An upstream that is not configured.
    #[error("there is no upstream `{name}`{}", instead(nearest.as_deref(), "configure it under `upstreams`"))]
    UnknownUpstream {
        /// The name.
        name: String,
        /// The upstream whose name looks most like it.
        nearest: Option<String>,
    },
    /// A requirement without a part.
    #[error("this asks for nothing: write `allow: authenticated` if any good token will do")]
    EmptyRequirement,
    /// An empty list, which nobody could satisfy.
    #[error("an empty list is satisfied by nobody: name at least one, or leave the key out")]
    EmptyList,
    /// `any_of` beside other parts.
    #[error("`any_of` stands alone: move what else is required into each of its alternatives")]
    AnyOfWithOthers,
    /// `any_of` in `any_of`.
    #[error("there is one level of alternatives: move these into the outer `any_of`")]
    NestedAnyOf,
    /// Not a claim's path.
    #[error(transparent)]
    ClaimPath(#[from] ClaimPathError),
    /// A claim's value that is neither a scalar nor a list of scalars.
    #[error("expected a string, a number, a boolean, or a list of these")]
    ClaimValue,
    /// Two routes of one pattern for one method.
    #[error(
        "`{pattern}` is already declared by {other} as `{other_pattern}`: the methods {methods} would be decided twice"
    )]
    DuplicatePattern {
        /// This pattern.
        pattern: String,
        /// The other route.
        other: Source,
        /// Its pattern.
        other_pattern: String,
        /// The methods that both name.
        methods: String,
    },
    /// A pattern that never decides.
    #[error("`{pattern}` never decides: more specific patterns cover all of it")]
    NeverDecides {
        /// The pattern.
        pattern: String,
    },
    /// `fresh` or `accept_token` where no token is needed.
    #[error(
        "this has no meaning where no token is needed: leave it out, or write `require` or `allow: authenticated`"
    )]
    NeedsToken,
    /// `accept` where nothing can be irregular.
    #[error(
        "no path that `{pattern}` matches can be irregular: write `{{name}}` or `**` in it, or leave `accept` out"
    )]
    AcceptsNothing {
        /// The pattern.
        pattern: String,
    },
    /// `strip_prefix` without `upstream`.
    #[error("there is nothing to strip a prefix for: name an `upstream`, or leave `strip_prefix` out")]
    StripWithoutUpstream,
    /// A `strip_prefix` with which not every path that matches begins.
    #[error("expected a prefix of literal segments with which `{pattern}` begins, such as `/api`")]
    StripPrefix {
        /// The pattern.
        pattern: String,
    },
    /// `open_to_admin` on what is stored.
    #[error("only a route of the file can be opened to administrators")]
    OpenStored,
    /// A stored entry that would loosen the file (invariant 15).
    #[error("this would loosen `{pattern}` of {file}{}: {part}, or write `open_to_admin: true` there", by(alias.as_deref()))]
    Loosens {
        /// The pattern that would be loosened.
        pattern: String,
        /// The route or scope of the file.
        file: Source,
        /// The part of the route that would be loosened.
        part: LoosenedPart,
        /// The paths of its upstream that the stored route reaches by another name.
        alias: Option<String>,
    },
    /// A stored entry that another check than the policy's refuses.
    #[error("{0}")]
    Refused(String),
    /// A rule for administrators that any provider's operator could satisfy (invariant 16).
    #[error(
        "several providers are configured: name those whose administrators these are, as `providers: [{example}]`"
    )]
    ProvidersNotNamed {
        /// One of the providers.
        example: String,
    },
}

fn by(alias: Option<&str>) -> String {
    alias.map(|path| format!(", as it leads to `{path}` of the same upstream")).unwrap_or_default()
}

fn instead(nearest: Option<&str>, otherwise: &str) -> String {
    nearest.map_or_else(
        || format!(": {otherwise}"),
        |name| format!(": did you mean `{name}`? Otherwise {otherwise}"),
    )
}

/// The name that looks most like `given`, if any looks like it at all.
pub(super) fn nearest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (given.len() / 3).max(2);
    let distances = names.into_iter().map(|name| (strsim::damerau_levenshtein(given, name), name));
    distances.filter(|(distance, _)| *distance <= limit).min().map(|(_, name)| name)
}
