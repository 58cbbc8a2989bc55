//! The programs that are compared, and the way in which each is started.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{
    process::{LOAD, Process, SERVER, free_port},
    world::World,
};

/// A running program and its port.
pub(crate) struct Peer {
    /// Its process.
    pub(crate) process: Process,
    /// Its port.
    pub(crate) port: u16,
}

/// The settings of scopegate.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    /// The rule of its routes, as YAML.
    pub(crate) rule: &'a str,
    /// `cache.tokens`.
    pub(crate) cache: usize,
    /// The port of its upstream.
    pub(crate) upstream: u16,
    /// The number of further routes.
    pub(crate) routes: usize,
    /// The number of further providers.
    pub(crate) providers: usize,
}

/// Routes that require a scope.
pub(crate) const GUARDED: Setting<'static> =
    Setting { rule: "require: items", cache: 100_000, upstream: 9, routes: 0, providers: 0 };
/// Routes without a token.
pub(crate) const OPEN: Setting<'static> = Setting { rule: "allow: anonymous", ..GUARDED };

/// The name of scopegate in the report.
pub(crate) const OWN: &str = "scopegate";
/// The name of scopegate of an earlier revision in the report.
pub(crate) const EARLIER: &str = "scopegate before";
/// The name of poem without authentication in the report.
pub(crate) const POEM: &str = "poem, no authentication";
/// The name of poem with jsonwebtoken in the report.
pub(crate) const POEM_JWT: &str = "poem with jsonwebtoken";
/// The name of axum with jsonwebtoken in the report.
pub(crate) const AXUM_JWT: &str = "axum with jsonwebtoken";

/// Starts scopegate.
pub(crate) fn scopegate(world: &World, setting: Setting<'_>) -> Result<Peer, String> {
    serve(world, &world.program("scopegate"), setting)
}

/// Starts scopegate of an earlier revision, if there is one.
pub(crate) fn earlier(world: &World, setting: Setting<'_>) -> Result<Option<Peer>, String> {
    world.earlier().map(|program| serve(world, &program, setting)).transpose()
}

fn serve(world: &World, program: &str, setting: Setting<'_>) -> Result<Peer, String> {
    let port = free_port();
    let operations = free_port();
    let config = world.configure(
        "scopegate.yaml",
        &format!("scopegate-{port}.yaml"),
        &[
            ("PORT", &port.to_string()),
            ("OPERATIONS", &operations.to_string()),
            ("CACHE", &setting.cache.to_string()),
            ("ISSUER", world.issuer()),
            ("RULE", setting.rule),
            ("UPSTREAM", &setting.upstream.to_string()),
            ("ROUTES", &further_routes(setting.routes)),
            ("PROVIDERS", &further_providers(world, setting.providers)),
        ],
    );
    start(world, SERVER, &[program, "serve", "--config", &config], port)
}

/// Returns routes of several depths, a tenth of them with a parameter.
fn further_routes(count: usize) -> String {
    let route = |number: usize| {
        let parameter = if number.is_multiple_of(10) { "/{id}" } else { "" };
        format!("  - {{ match: \"GET /area-{}/part-{number}{parameter}\", require: items }}\n", number % 97)
    };
    (0..count).map(route).collect()
}

/// Returns providers whose keys are in the configuration.
fn further_providers(world: &World, count: usize) -> String {
    let jwk = world.keys[0].jwk();
    let provider = |number: usize| {
        format!(
            "  further-{number}: {{ kind: oidc, issuer: \"https://issuer-{number}.example\", audience: bench, jwks: {{ keys: [{jwk}] }} }}\n"
        )
    };
    (0..count).map(provider).collect()
}

/// Starts one of the Rust programs of `bin/peer.rs` that verify tokens.
pub(crate) fn rust(world: &World, kind: &str) -> Result<Peer, String> {
    let port = free_port();
    let keys = world.text("keys.json");
    let program = world.program("peer");
    start(world, SERVER, &[&program, kind, &port.to_string(), world.issuer(), &keys], port)
}

/// Starts one of the Rust programs of `bin/peer.rs` that always give the same answer.
pub(crate) fn constant(world: &World, kind: &str) -> Result<Peer, String> {
    let port = free_port();
    start(world, SERVER, &[&world.program("peer"), kind, &port.to_string()], port)
}

/// Starts nginx on `core`: an upstream that answers at once, and at the second port a server that asks `asked` first.
pub(crate) fn nginx(world: &World, core: &str, asked: u16) -> Result<(Peer, u16), String> {
    let port = free_port();
    let asking = free_port();
    let name = format!("nginx-{port}");
    let values = [
        ("NAME", name.as_str()),
        ("PORT", &port.to_string()),
        ("ASKING", &asking.to_string()),
        ("ASKED", &asked.to_string()),
    ];
    let config = world.configure("nginx.conf", &name, &values);
    Ok((start(world, core, &["nginx", "-c", &config], port)?, asking))
}

/// Starts an upstream on the core of the load.
pub(crate) fn upstream(world: &World) -> Result<Peer, String> {
    Ok(nginx(world, LOAD, 9)?.0)
}

/// `HAProxy` and its ports.
pub(crate) struct HaProxy {
    /// With its check and a body of its own.
    pub(crate) peer: Peer,
    /// With its check, in front of the upstream.
    pub(crate) verifies: u16,
    /// In front of the upstream, without a check.
    pub(crate) plain: u16,
}

/// Starts `HAProxy`.
pub(crate) fn haproxy(world: &World, upstream: u16) -> Result<HaProxy, String> {
    let [port, verifies, plain] = [(); 3].map(|()| free_port());
    let values = [
        ("ANSWERS", port.to_string()),
        ("VERIFIES", verifies.to_string()),
        ("PLAIN", plain.to_string()),
        ("UPSTREAM", upstream.to_string()),
        ("ISSUER", world.issuer().to_owned()),
        ("KEY", world.text("public.pem")),
    ];
    let values: Vec<(&str, &str)> = values.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let config = world.configure("haproxy.cfg", &format!("haproxy-{port}.cfg"), &values);
    let peer = start(world, SERVER, &["haproxy", "-db", "-f", &config], port)?;
    Ok(HaProxy { peer, verifies, plain })
}

/// Starts Apache with `mod_auth_openidc`.
pub(crate) fn apache(world: &World) -> Result<Peer, String> {
    let port = free_port();
    let values = [("PORT", port.to_string()), ("CERTIFICATE", world.text("certificate.pem"))];
    let values: Vec<(&str, &str)> = values.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let config = world.configure("apache.conf", "apache.conf", &values);
    start(world, SERVER, &["apache2", "-DFOREGROUND", "-f", &config], port)
}

/// Starts express with express-oauth2-jwt-bearer from npm.
pub(crate) fn express(world: &World) -> Result<Peer, String> {
    let folder = world.path("express");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("package.json"), r#"{"private":true}"#).unwrap();
    let packages = ["install", "--silent", "--no-audit", "--no-fund", "express", "express-oauth2-jwt-bearer"];
    run(Command::new("npm").args(packages).current_dir(&folder), "npm")?;
    let script = folder.join("express.mjs").display().to_string();
    world.configure("express.mjs", "express/express.mjs", &[]);
    let port = free_port();
    let keys = world.key_set();
    let command = ["env", "NODE_ENV=production", "node", &script, &port.to_string(), world.issuer(), &keys];
    start(world, SERVER, &command, port)
}

/// Starts `FastAPI` with `PyJWT` from `PyPI`.
pub(crate) fn fastapi(world: &World) -> Result<Peer, String> {
    let folder = world.path("python");
    let place = folder.display().to_string();
    run(Command::new("python3").args(["-m", "venv", &place]), "python3 -m venv")?;
    let packages = ["install", "--quiet", "fastapi", "uvicorn[standard]", "pyjwt[crypto]"];
    run(Command::new(folder.join("bin/pip")).args(packages), "pip")?;
    world.configure("fastapi_app.py", "python/fastapi_app.py", &[]);
    let port = free_port();
    let uvicorn = folder.join("bin/uvicorn").display().to_string();
    let issuer = format!("BENCH_ISSUER={}", world.issuer());
    let keys = format!("BENCH_KEYS={}", world.key_set());
    let number = port.to_string();
    let server = [uvicorn.as_str(), "--app-dir", &place, "--port", &number, "--no-access-log"];
    let command =
        [&["env", issuer.as_str(), keys.as_str()], server.as_slice(), &["fastapi_app:app"]].concat();
    start(world, SERVER, &command, port)
}

fn start(world: &World, core: &str, command: &[&str], port: u16) -> Result<Peer, String> {
    let log: PathBuf = world.path(&format!("{port}.log"));
    Ok(Peer { process: Process::start(core, command, &log, port)?, port })
}

fn run(command: &mut Command, name: &str) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
