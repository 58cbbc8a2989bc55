//! The programs that are compared, each with how it is started.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{
    process::{LOAD, Process, SERVER, free_port},
    world::World,
};

/// A running program and where it listens.
pub(crate) struct Peer {
    /// Its process.
    pub(crate) process: Process,
    /// Its port.
    pub(crate) port: u16,
}

/// What scopegate is started with.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    /// The rule of its routes, as YAML.
    pub(crate) rule: &'a str,
    /// `cache.tokens`.
    pub(crate) cache: usize,
    /// The port of its upstream.
    pub(crate) upstream: u16,
}

/// Behind the scope.
pub(crate) const GUARDED: Setting<'static> = Setting { rule: "require: items", cache: 100_000, upstream: 9 };
/// Open to everybody.
pub(crate) const OPEN: Setting<'static> = Setting { rule: "allow: anonymous", cache: 100_000, upstream: 9 };

/// scopegate itself.
pub(crate) fn scopegate(world: &World, setting: Setting<'_>) -> Result<Peer, String> {
    let (port, operations) = (free_port(), free_port());
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
        ],
    );
    let program = world.program("scopegate");
    start(world, SERVER, &[&program, "serve", "--config", &config], port)
}

/// One of the Rust programs of `bin/peer.rs`.
pub(crate) fn rust(world: &World, kind: &str) -> Result<Peer, String> {
    let (port, program) = (free_port(), world.program("peer"));
    let keys = world.text("keys.json");
    start(world, SERVER, &[&program, kind, &port.to_string(), world.issuer(), &keys][..], port)
}

/// The ceiling: poem, the same body, no authentication.
pub(crate) fn ceiling(world: &World) -> Result<Peer, String> {
    let (port, program) = (free_port(), world.program("peer"));
    start(world, SERVER, &[&program, "poem", &port.to_string()], port)
}

/// nginx: on `core`, at its port an upstream that answers at once; at the second port it asks `asked` first.
pub(crate) fn nginx(world: &World, core: &str, asked: u16) -> Result<(Peer, u16), String> {
    let (port, asking) = (free_port(), free_port());
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

/// An upstream on the core of the load.
pub(crate) fn upstream(world: &World) -> Result<Peer, String> {
    Ok(nginx(world, LOAD, 9)?.0)
}

/// `HAProxy`'s ports: with its check and a body of its own; with its check in front of the upstream; without any.
pub(crate) struct HaProxy {
    /// Its process, and the first port.
    pub(crate) peer: Peer,
    /// With its check, in front of the upstream.
    pub(crate) verifies: u16,
    /// In front of the upstream, without a check.
    pub(crate) plain: u16,
}

/// `HAProxy`.
pub(crate) fn haproxy(world: &World, upstream: u16) -> Result<HaProxy, String> {
    let (port, verifies, plain) = (free_port(), free_port(), free_port());
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

/// Apache with `mod_auth_openidc`.
pub(crate) fn apache(world: &World) -> Result<Peer, String> {
    let port = free_port();
    let values = [("PORT", port.to_string()), ("CERTIFICATE", world.text("certificate.pem"))];
    let values: Vec<(&str, &str)> = values.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let config = world.configure("apache.conf", "apache.conf", &values);
    start(world, SERVER, &["apache2", "-DFOREGROUND", "-f", &config], port)
}

/// express with express-oauth2-jwt-bearer, brought by npm.
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

/// `FastAPI` with PyJWT, brought by pip.
pub(crate) fn fastapi(world: &World) -> Result<Peer, String> {
    let folder = world.path("python");
    let place = folder.display().to_string();
    run(Command::new("python3").args(["-m", "venv", &place]), "python3 -m venv")?;
    let packages = ["install", "--quiet", "fastapi", "uvicorn[standard]", "pyjwt[crypto]"];
    run(Command::new(folder.join("bin/pip")).args(packages), "pip")?;
    world.configure("fastapi_app.py", "python/fastapi_app.py", &[]);
    let (port, uvicorn) = (free_port(), folder.join("bin/uvicorn").display().to_string());
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
