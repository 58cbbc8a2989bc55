//! Errors of a policy, with the text to write instead.

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
    /// The problem.
    pub problem: Problem,
}

/// Problems of a definition, with the text to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
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
        /// The other place.
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
    /// A claim's long form with other members than one of the known ones.
    #[error(
        "expected exactly one of `{{ prefix: \"acme/\" }}`, `{{ path: id }}` and `{{ equals: \"acme/*\" }}`"
    )]
    ClaimForm,
    /// A literal that looks like a pattern.
    #[error(
        "`{found}` looks like a pattern, and claims compare literally: write `{advice}`, or `{{ equals: {found:?} }}` for this very text"
    )]
    LooksLikePattern {
        /// The literal.
        found: String,
        /// The form to write.
        advice: String,
    },
    /// A prefix that looks like a pattern.
    #[error("`{found}` looks like a pattern, and a prefix is literal: write `{{ prefix: {literal:?} }}`")]
    PrefixLooksLikePattern {
        /// The prefix.
        found: String,
        /// Its literal part.
        literal: String,
    },
    /// A role, client, audience or actor that looks like a pattern.
    #[error(
        "`{found}` looks like a pattern, and names compare literally: leave the key out for any, or test the claim, as in `claims: {{ {claim}: {{ prefix: … }} }}` or `{{ equals: {found:?} }}`"
    )]
    NameLooksLikePattern {
        /// The name.
        found: String,
        /// The claim that usually carries it.
        claim: &'static str,
    },
    /// An empty prefix.
    #[error("every text begins with an empty prefix: write what it has to begin with")]
    EmptyPrefix,
    /// `{ path: … }` in a rule that belongs to no route.
    #[error("this rule belongs to no path, so that no segment can be named")]
    NoPathHere,
    /// `{ path: … }` with a name that the pattern does not have exactly once.
    #[error(
        "`{pattern}` names {} segment `{{{name}}}`: write `{{{name}}}` in the pattern exactly once", if *twice { "more than one" } else { "no" }
    )]
    NoSuchParameter {
        /// The name.
        name: String,
        /// The path of the pattern.
        pattern: String,
        /// `true` if the pattern has it more than once.
        twice: bool,
    },
    /// An `acr` that a challenge cannot carry.
    #[error("`{found}` cannot be an `acr`: challenges separate the values by spaces and quote them")]
    AcrValue {
        /// The value.
        found: String,
    },
    /// `max_age: 0s`, which would ask for a sign-in at every request.
    #[error(
        "expected at least `1s`: no sign-in is ever younger than nothing, so that callers would sign in for ever"
    )]
    MaxAgeZero,
    /// An authorization detail with an empty type.
    #[error("expected the `type` of the authorization detail, found an empty string")]
    DetailWithoutType,
    /// Scopes that imply each other.
    #[error("the scope implies itself: {}", cycle.iter().map(Scope::as_str).collect::<Vec<_>>().join(" implies "))]
    ImpliesItself {
        /// The scopes in order, the first of them repeated at the end.
        cycle: Vec<Scope>,
    },
    /// Too many levels of `implies`.
    #[error("the scope implies others over more than {limit} levels")]
    ImpliesTooDeep {
        /// The limit.
        limit: usize,
    },
    /// A stored scope that implies one of the file (invariant 15).
    #[error(
        "a stored scope cannot imply `{scope}`, which {file} declares: holders of this one would get what the file asks `{scope}` for"
    )]
    ImpliesFile {
        /// The scope of the file.
        scope: Scope,
        /// The place that declares it.
        file: Source,
    },
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
    /// `mcp` on a pattern that names other methods than `POST`.
    #[error("requests of the Model Context Protocol are `POST` requests, which `{pattern}` does not name")]
    McpWithoutPost {
        /// The pattern.
        pattern: String,
    },
    /// An MCP method or name that no request has.
    #[error(
        "expected a method such as `tools/call` or the name of a tool, resource or prompt, found `{found}`"
    )]
    McpText {
        /// The text.
        found: String,
    },
    /// A pattern as an MCP method or name.
    #[error(
        "`{found}` looks like a pattern, and methods and names of the Model Context Protocol compare literally: leave `name` out for all of a method's requests"
    )]
    McpPattern {
        /// The text.
        found: String,
    },
    /// `open_to_admin` on a stored route.
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
