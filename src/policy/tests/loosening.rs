//! What is stored never loosens the file: upstreams, prefixes, identity and modes (invariant 15).

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const FILE: &str = "
scopes: { items: '', root: '' }
upstreams: { app: {}, app_by_address: {}, other: {} }
routes:
- { match: '/api/admin/**', require: root, upstream: app, strip_prefix: /api, identity: { headers: { X-Sub: sub }, forward: mint } }
- { match: 'GET /reports/{id}', require: items, upstream: app }
- { match: '/public/**', allow: anonymous, upstream: other, strip_prefix: /public }
- { match: '/guarded/**', require: root, upstream: other }
- { match: 'api.example/wide/**', require: items, upstream: app }
- { match: '/free/**', require: root, upstream: app, open_to_admin: true }
- { match: '/here/**', require: items }
";

fn file() -> Definition {
    let mut definition = definition(FILE);
    for upstream in &mut definition.upstreams {
        let address = if upstream.name == "other" { "127.0.0.1:2" } else { "127.0.0.1:1" };
        upstream.addresses = vec![address.to_owned()];
    }
    definition
}

/// Returns the pattern of the file and the part of it that a stored route would loosen.
fn loosens(route: &str) -> Option<(String, LoosenedPart, Option<String>)> {
    let mut definition = file();
    definition.add_stored_route("1", serde_saphyr::from_str(route).unwrap());
    let errors = Policy::compile(&definition).err()?;
    let [PolicyError { problem: Problem::Loosens { pattern, part, alias, .. }, .. }] = errors.as_slice()
    else {
        panic!("{route}: {errors:?}")
    };
    Some((pattern.clone(), *part, alias.clone()))
}

/// A8: `/open/admin/secret` without `/open` is what the file guards as `/api/admin/secret`.
#[test]
fn invariant_15_a_stored_route_does_not_open_by_another_name_what_the_file_guards_at_the_same_upstream() {
    for (route, guarded, alias) in [
        (
            "{ match: /open/**, allow: anonymous, upstream: app, strip_prefix: /open }",
            "/api/admin/**",
            "/admin/**",
        ),
        ("{ match: /admin/**, allow: anonymous, upstream: app }", "/api/admin/**", "/admin/**"),
        ("{ match: /admin/secret, require: items, upstream: app }", "/api/admin/**", "/admin/secret"),
        ("{ match: '/{x}/secret', allow: authenticated, upstream: app }", "/api/admin/**", "/admin/secret"),
        (
            "{ match: '/a/b/**', allow: anonymous, upstream: app, strip_prefix: /a/b }",
            "/api/admin/**",
            "/admin/**",
        ),
        (
            "{ match: '/a/{x}/{y}', allow: optional, upstream: app, strip_prefix: /a }",
            "/api/admin/**",
            "/admin/{y}",
        ),
        ("{ match: 'b.example/admin/x', allow: anonymous, upstream: app }", "/api/admin/**", "/admin/x"),
        (
            "{ match: GET /admin/**, allow: anonymous, upstream: app_by_address }",
            "/api/admin/**",
            "/admin/**",
        ),
        (
            "{ match: /r/reports/1, allow: anonymous, upstream: app, strip_prefix: /r }",
            "GET /reports/{id}",
            "/reports/1",
        ),
        (
            "{ match: HEAD /r/reports/1, allow: anonymous, upstream: app, strip_prefix: /r }",
            "GET /reports/{id}",
            "/reports/1",
        ),
        ("{ match: b.example/wide/x, allow: anonymous, upstream: app }", "api.example/wide/**", "/wide/x"),
        (
            "{ match: /p/**, allow: anonymous, upstream: other, strip_prefix: /p }",
            "/guarded/**",
            "/guarded/**",
        ),
    ] {
        let expected = (guarded.to_owned(), LoosenedPart::Rule, Some(alias.to_owned()));
        assert_eq!(loosens(route), Some(expected), "{route}");
    }
}

/// A8: the identity that a service is told does not change with the name by which it is reached.
#[test]
fn invariant_15_a_stored_route_keeps_the_identity_of_what_the_file_guards_by_another_name() {
    for (route, part) in [
        ("{ match: /admin/x, require: root, upstream: app }", LoosenedPart::Identity),
        (
            "{ match: /admin/x, require: root, upstream: app, identity: { headers: { X-Sub: sub } } }",
            LoosenedPart::Identity,
        ),
        (
            "{ match: '/admin/{x}', require: root, upstream: app, accept: [encoded_slash], identity: { headers: { X-Sub: sub }, forward: mint } }",
            LoosenedPart::Accept,
        ),
        (
            "{ match: /admin/x, require: root, upstream: app, cors: { origins: ['*'] }, identity: { headers: { X-Sub: sub }, forward: mint } }",
            LoosenedPart::Cors,
        ),
    ] {
        let (pattern, found, alias) = loosens(route).unwrap();
        assert_eq!((pattern.as_str(), found, alias.is_some()), ("/api/admin/**", part, true), "{route}");
    }
}

/// A9: a more specific stored route leads to the same path of the same upstream with the same identity.
#[test]
fn invariant_15_a_stored_route_keeps_upstream_prefix_and_identity_of_the_file() {
    let kept = "match: /api/admin/x, require: root";
    for (route, part) in [
        (format!("{{ {kept} }}"), LoosenedPart::Upstream),
        (format!("{{ {kept}, upstream: other, strip_prefix: /api }}"), LoosenedPart::Upstream),
        (format!("{{ {kept}, upstream: app_by_address, strip_prefix: /api }}"), LoosenedPart::Upstream),
        (format!("{{ {kept}, upstream: app }}"), LoosenedPart::StripPrefix),
        (format!("{{ {kept}, upstream: app, strip_prefix: /api/admin }}"), LoosenedPart::StripPrefix),
        (format!("{{ {kept}, upstream: app, strip_prefix: /api }}"), LoosenedPart::Identity),
        (
            format!("{{ {kept}, upstream: app, strip_prefix: /api, identity: {{ forward: keep }} }}"),
            LoosenedPart::Identity,
        ),
        (
            format!(
                "{{ {kept}, upstream: app, strip_prefix: /api, identity: {{ headers: {{ X-Sub: client_id }}, forward: mint }} }}"
            ),
            LoosenedPart::Identity,
        ),
        ("{ match: /here/x, require: items, upstream: other }".to_owned(), LoosenedPart::Upstream),
    ] {
        let (_, found, alias) = loosens(&route).unwrap_or_else(|| panic!("{route}"));
        assert_eq!((found, alias), (part, None), "{route}");
    }
}

/// A8: a name that the file guards for the requests of another route keeps its upstream, even where it is closed or
/// names other methods: otherwise `/public/guarded/x` is held to no rule.
#[test]
fn invariant_15_a_stored_route_does_not_lift_the_rule_of_what_is_left_of_another_path() {
    for route in [
        "{ match: /guarded/x, allow: nobody }",
        "{ match: POST /guarded/x, require: root, upstream: app }",
        "{ match: /guarded/x, require: root, upstream: other, strip_prefix: /guarded }",
    ] {
        assert!(loosens(route).is_some(), "{route}");
    }
    let policy = policy(FILE);
    assert_eq!(outcome(&policy, "GET /public/guarded/x", None), "no_token");
}

#[test]
fn invariant_15_what_keeps_the_file_or_leads_elsewhere_may_be_stored() {
    for route in [
        "{ match: /api/admin/x, require: [root, items], upstream: app, strip_prefix: /api, identity: { headers: { X-Sub: sub }, forward: mint } }",
        "{ match: /admin/x, require: root, upstream: app, identity: { headers: { X-Sub: sub }, forward: mint } }",
        "{ match: /api/admin/x, allow: nobody }",
        "{ match: /o/news/**, allow: anonymous, upstream: app, strip_prefix: /o }",
        "{ match: /admin/**, allow: anonymous, upstream: other }",
        "{ match: /admin/**, allow: anonymous }",
        "{ match: POST /r/reports/1, allow: anonymous, upstream: app, strip_prefix: /r }",
        "{ match: /r/reports/1/2, allow: anonymous, upstream: app, strip_prefix: /r }",
        "{ match: /f/free/x, allow: anonymous, upstream: app, strip_prefix: /f }",
        "{ match: /free/x, allow: anonymous, upstream: other }",
        "{ match: /guarded/x, allow: nobody, upstream: other }",
        "{ match: /here/x, require: items, identity: {} }",
    ] {
        assert_eq!(loosens(route), None, "{route}");
    }
}

#[test]
fn a_refusal_names_the_other_name_and_what_to_keep() {
    let message = |route: &str| {
        let mut definition = file();
        definition.add_stored_route("7", serde_saphyr::from_str(route).unwrap());
        Policy::compile(&definition).unwrap_err()[0].to_string()
    };
    assert_eq!(
        message("{ match: /open/**, allow: anonymous, upstream: app, strip_prefix: /open }"),
        "stored route 7: `match`: this would loosen `/api/admin/**` of routes[0], as it leads to `/admin/**` of the same upstream: ask for at least as much, or write `open_to_admin: true` there"
    );
    assert_eq!(
        message("{ match: /here/x, require: items, upstream: other }"),
        "stored route 7: `match`: this would loosen `/here/**` of routes[6]: keep its `upstream`, or write `open_to_admin: true` there"
    );
}

/// A route of a small world, in the words of the model below.
#[derive(Debug, Clone)]
struct SmallRoute {
    host: &'static str,
    methods: &'static str,
    prefix: &'static str,
    inner: &'static str,
    strips: bool,
    upstream: Option<&'static str>,
    rule: &'static str,
    identity: &'static str,
    open: bool,
}

impl SmallRoute {
    fn json(&self, stored: bool) -> Value {
        let path = format!("{}{}", self.prefix, self.inner);
        let path = if path.is_empty() { "/".to_owned() } else { path };
        let mut route = json!({ "match": format!("{}{}{path}", self.methods, self.host) });
        match self.rule {
            "nobody" | "anonymous" | "authenticated" => route["allow"] = json!(self.rule),
            scopes => route["require"] = json!(scopes.split(' ').collect::<Vec<_>>()),
        }
        if let Some(upstream) = self.upstream {
            route["upstream"] = json!(upstream);
            if self.strips && !self.prefix.is_empty() {
                route["strip_prefix"] = json!(self.prefix);
            }
        }
        match self.identity {
            "" => {}
            "mint" => route["identity"] = json!({ "forward": "mint" }),
            header => route["identity"] = json!({ "headers": { header: "sub" } }),
        }
        if self.open && !stored {
            route["open_to_admin"] = json!(true);
        }
        route
    }
}

fn small_route() -> impl Strategy<Value = SmallRoute> {
    let select = prop::sample::select::<&'static str>;
    let names = (select(vec!["", "", "a.example", "*.example"]), select(vec!["", "", "GET ", "POST "]));
    let paths = (
        select(vec!["", "", "/p", "/q", "/p/q"]),
        select(vec!["", "/**", "/x", "/p", "/{v}", "/x/**", "/q"]),
    );
    let upstream = prop::sample::select(vec![None, Some("app"), Some("app"), Some("alias"), Some("other")]);
    let rule = select(vec!["nobody", "anonymous", "authenticated", "items", "root", "items root"]);
    let identity = select(vec!["", "", "X-A", "mint"]);
    (names, paths, any::<bool>(), upstream, rule, identity, prop::bool::weighted(0.1)).prop_map(
        |((host, methods), (prefix, inner), strips, upstream, rule, identity, open)| SmallRoute {
            host,
            methods,
            prefix,
            inner,
            strips,
            upstream,
            rule,
            identity,
            open,
        },
    )
}

/// Every path of at most three segments that the routes can tell apart.
fn small_paths() -> Vec<String> {
    let segments = ["p", "q", "x", "z"];
    let mut paths = vec![String::new()];
    let mut last = paths.clone();
    for _ in 0..4 {
        last = last.iter().flat_map(|path| segments.map(|segment| format!("{path}/{segment}"))).collect();
        paths.extend(last.iter().cloned());
    }
    paths
}

/// The service and the path that a request reaches, the identity that it carries, and the route that decides.
struct Reach<'p> {
    service: Option<String>,
    path: String,
    route: &'p Route,
}

fn reach<'p>(policy: &'p Policy, target: &Target) -> Option<Reach<'p>> {
    let Found::Route(route) = policy.find(target) else { return None };
    let service = route.options().upstream.as_deref().map(|name| if name == "alias" { "app" } else { name });
    let prefix = route.options().strip_prefix.as_deref().unwrap_or_default();
    let path = target.normal_path().strip_prefix(prefix).unwrap().trim_end_matches('/').to_owned();
    Some(Reach { service: service.map(str::to_owned), path, route })
}

fn small_world(file: &[SmallRoute], stored: Option<&SmallRoute>) -> Result<Policy, Vec<PolicyError>> {
    let upstream = |name: &str, address: &str| KnownUpstream {
        name: name.to_owned(),
        addresses: vec![address.to_owned()],
        host: None,
    };
    let upstreams = vec![upstream("app", "h:1"), upstream("alias", "h:1"), upstream("other", "h:2")];
    let mut definition = Definition::new(Vec::new(), upstreams);
    for scope in ["items", "root"] {
        let description = serde_json::from_value(json!("")).unwrap();
        definition.add_scope(Scope::parse(scope).unwrap(), description);
    }
    for route in file {
        definition.add_route(serde_json::from_value(route.json(false)).unwrap());
    }
    if let Some(route) = stored {
        definition.add_stored_route("1", serde_json::from_value(route.json(true)).unwrap());
    }
    Policy::compile(&definition).map(|compiled| compiled.policy)
}

/// Leaves out what the file alone would be refused for.
fn small_file(mut file: Vec<SmallRoute>) -> (Vec<SmallRoute>, Policy) {
    loop {
        match small_world(&file, None) {
            Ok(policy) => return (file, policy),
            Err(errors) => {
                let Source::Route { index } = errors[0].at else { panic!("{errors:?}") };
                file.remove(index);
            }
        }
    }
}

fn callers() -> Vec<Option<Principal>> {
    let scopes = ["", "items", "root", "items root"];
    let known = scopes.iter().map(|scopes| Some(Caller::with(scopes).principal()));
    [None].into_iter().chain(known).collect()
}

fn permits(policy: &Policy, target: &Target, caller: Option<&Principal>) -> bool {
    matches!(policy.decide(target, now(caller)), Decision::Permit { .. })
}

fn small_targets() -> Vec<Target> {
    let mut targets = Vec::new();
    for method in ["GET", "POST", "HEAD"] {
        for host in ["a.example", "b.example", "elsewhere"] {
            for path in small_paths() {
                let path = if path.is_empty() { "/" } else { &path };
                targets.push(target(&format!("{method} {host}{path}")));
            }
        }
    }
    targets
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// A8, A9: every request of a small world is tried before and after something is stored.
    #[test]
    fn invariant_15_nothing_stored_opens_or_changes_what_the_file_leads_to(
        file in prop::collection::vec(small_route(), 1..6),
        stored in small_route(),
    ) {
        let (file, before) = small_file(file);
        let after = match small_world(&file, Some(&stored)) {
            Ok(after) => after,
            Err(errors) => {
                prop_assume!(errors.iter().any(|error| matches!(error.problem, Problem::Loosens { .. })));
                return Ok(());
            }
        };
        let targets = small_targets();
        let mut guarded: BTreeMap<(String, String, String), Vec<&Target>> = BTreeMap::new();
        for target in &targets {
            let Some(Reach { service, path, route }) = reach(&before, target) else { continue };
            if let (Some(service), false) = (service, route.options().open_to_admin) {
                guarded.entry((target.method().to_string(), service, path)).or_default().push(target);
            }
        }
        for target in &targets {
            let Some(now) = reach(&after, target) else { continue };
            let file_route = reach(&before, target).filter(|was| !was.route.options().open_to_admin);
            let names = match (&now.service, now.route.source().is_file()) {
                (Some(service), false) => {
                    let image = (target.method().to_string(), service.clone(), now.path.clone());
                    guarded.get(&image).cloned().unwrap_or_default()
                }
                _ => Vec::new(),
            };
            for caller in &callers() {
                if !permits(&after, target, caller.as_ref()) {
                    continue;
                }
                if let Some(was) = &file_route {
                    prop_assert!(permits(&before, target, caller.as_ref()), "{target} is open by {stored:?}");
                    prop_assert_eq!(&was.route.options().upstream, &now.route.options().upstream, "{}", target);
                    prop_assert_eq!(&was.path, &now.path, "{}", target);
                    prop_assert_eq!(&was.route.options().identity, &now.route.options().identity, "{}", target);
                }
                for name in &names {
                    prop_assert!(permits(&before, name, caller.as_ref()), "{target} opens {name} by {stored:?}");
                    let Found::Route(was) = before.find(name) else { unreachable!() };
                    prop_assert_eq!(&was.options().identity, &now.route.options().identity, "{} {}", target, name);
                }
            }
        }
    }

    /// A8: a refusal is never about routes that have nothing in common.
    #[test]
    fn invariant_15_what_is_refused_reaches_what_the_file_leads_to(
        file in prop::collection::vec(small_route(), 1..6),
        stored in small_route(),
    ) {
        let (file, before) = small_file(file);
        let Err(errors) = small_world(&file, Some(&stored)) else { return Ok(()) };
        let loosened: Vec<usize> = errors
            .iter()
            .filter_map(|error| match &error.problem {
                Problem::Loosens { file: Source::Route { index }, .. } => Some(*index),
                _ => None,
            })
            .collect();
        let Some(index) = loosened.first() else { return Ok(()) };
        let alone = small_world(&[], Some(&stored)).unwrap();
        let reached = |policy: &Policy, is: &dyn Fn(&Route) -> bool| -> Vec<(Target, Option<String>, String)> {
            let mut reached = Vec::new();
            for target in small_targets() {
                if let Some(Reach { service, path, route }) = reach(policy, &target) && is(route) {
                    reached.push((target, service, path));
                }
            }
            reached
        };
        let of_file = reached(&before, &|route| *route.source() == Source::Route { index: *index });
        let of_stored = reached(&alone, &|_| true);
        let common = of_file.iter().any(|(name, service, path)| {
            of_stored.iter().any(|(other, image, at)| {
                name.path_as_sent() == other.path_as_sent() || (service.is_some() && service == image && path == at)
            })
        });
        prop_assert!(common, "{stored:?} is refused for {:?}", file[*index]);
    }
}
