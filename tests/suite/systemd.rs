//! Behaviour under a service manager: notifications, the watchdog, and sockets that it has opened.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    support::{Issuer, Server},
    tutorial::DEVELOPMENT,
};

/// Long enough for a busy machine; a test that waits this long has failed.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The socket on which a service manager receives notifications.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self { socket, folder }
    }

    fn path(&self) -> String {
        self.folder.path().join("notify").to_str().unwrap().to_owned()
    }

    /// Returns the variables of the next notification.
    fn next(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("a notification");
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// Returns the first notification with this variable.
    fn wait_for(&self, variable: &str) -> Vec<String> {
        loop {
            let notification = self.next();
            if notification.iter().any(|line| line.starts_with(variable)) {
                return notification;
            }
        }
    }

    /// Starts the program with these variables beside `$NOTIFY_SOCKET`.
    fn start(&self, config: &str, variables: &[(&str, &str)]) -> Server {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("scopegate.yaml"), config).unwrap();
        let path = self.path();
        let variables = [&[("NOTIFY_SOCKET", path.as_str())], variables].concat();
        Server::in_folder(folder, &["serve"], &variables)
    }
}

#[tokio::test]
async fn readiness_a_reload_and_the_end_are_notified() {
    let manager = Manager::new();
    let mut server = manager.start(DEVELOPMENT, &[]);
    let ready = manager.next();
    assert_eq!(ready[0], "READY=1");
    assert_eq!(ready[1], format!("STATUS=serving {}; 1 providers", server.url));

    server.signal("HUP");
    let reloading = manager.next();
    assert_eq!(reloading[0], "RELOADING=1");
    assert!(reloading[1].starts_with("MONOTONIC_USEC="), "{reloading:?}");
    assert_eq!(manager.next()[0], "READY=1");

    std::fs::write(server.folder().join("scopegate.yaml"), "docs: 3\n").unwrap();
    assert_eq!(manager.next()[0], "RELOADING=1");
    let reloaded = manager.next();
    assert_eq!(reloaded[0], "READY=1");
    assert!(reloaded[1].starts_with("STATUS=the earlier configuration stays in force: "), "{reloaded:?}");
    assert_eq!(reloaded.len(), 2, "an error of several lines is one variable: {reloaded:?}");

    server.signal("TERM");
    let stopping = manager.next();
    assert_eq!(stopping[0], "STOPPING=1");
    assert!(stopping[1].starts_with("EXTEND_TIMEOUT_USEC="), "{stopping:?}");
    assert!(server.wait().await.success());
}

#[test]
fn readiness_waits_for_the_keys_of_a_required_provider() {
    let issuer = Issuer::start(&[]);
    let address = issuer.address();
    let name = issuer.name.clone();
    drop(issuer);
    let manager = Manager::new();
    let config = format!(
        "server: {{ listen: '127.0.0.1:0' }}
operations: {{ listen: '127.0.0.1:0' }}
providers: {{ late: {{ kind: oidc, issuer: '{name}', audience: https://api.example, required: true }} }}
routes: [ {{ match: /items, allow: authenticated }} ]
"
    );
    let _server = manager.start(&config, &[]);
    assert_eq!(manager.next(), ["STATUS=the provider `late` cannot verify tokens"]);
    let _issuer = Issuer::start(&["--listen", &address]);
    assert_eq!(manager.next()[0], "READY=1");
}

/// T13.1: the program feeds the watchdog for as long as it serves.
#[tokio::test]
async fn the_watchdog_is_fed_and_stays_silent_at_the_end() {
    let manager = Manager::new();
    let mut server = manager.start(DEVELOPMENT, &[("WATCHDOG_USEC", "100000")]);
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    server.signal("TERM");
    let stopping = manager.wait_for("STOPPING=1");
    assert!(stopping.iter().any(|line| line.starts_with("WATCHDOG_USEC=")), "{stopping:?}");
    assert!(server.wait().await.success());
}

/// Starts the program as systemd does, with these listeners as its descriptors from 3 on.
///
/// Descriptors are passed as standard streams: the shell moves them to where systemd would.
fn activate(folder: &Path, manager: &Manager, listeners: [&TcpListener; 2], names: &str) -> Child {
    let [first, second] = listeners.map(|listener| OwnedFd::from(listener.try_clone().unwrap()));
    Command::new("sh")
        .args(["-c", "LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" serve 3<&0 4<&1 0</dev/null 1>/dev/null"])
        .arg(env!("CARGO_BIN_EXE_scopegate"))
        .current_dir(folder)
        .env_clear()
        .env("LISTEN_FDNAMES", names)
        .env("NOTIFY_SOCKET", manager.path())
        .stdin(first)
        .stdout(second)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Returns the answer to a request for `path`.
fn get(mut stream: TcpStream, path: &str) -> String {
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn loopback() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn terminate(mut child: Child) {
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn sockets_are_told_apart_by_name_and_a_restart_refuses_no_connection() {
    let folder = tempfile::tempdir().unwrap();
    // The addresses of the configuration are not used.
    let config = DEVELOPMENT
        .replace("server: { listen: 127.0.0.1:0 }", "server: { listen: 192.0.2.1:1 }")
        .replace("operations: { listen: 127.0.0.1:0 }", "operations: { listen: 192.0.2.1:2 }");
    std::fs::write(folder.path().join("scopegate.yaml"), config).unwrap();
    let manager = Manager::new();
    let (operations, operations_at) = loopback();
    let (server, server_at) = loopback();
    let sockets = [&operations, &server];

    let first = activate(folder.path(), &manager, sockets, "operations:server");
    manager.wait_for("READY=1");
    assert!(get(TcpStream::connect(server_at).unwrap(), "/").starts_with("HTTP/1.1 200"));
    assert!(get(TcpStream::connect(operations_at).unwrap(), "/readyz").starts_with("HTTP/1.1 200"));
    terminate(first);

    let waiting = TcpStream::connect(server_at).unwrap();
    let second = activate(folder.path(), &manager, sockets, "operations:server");
    assert!(get(waiting, "/").starts_with("HTTP/1.1 200"));
    terminate(second);
}

#[test]
fn a_socket_without_a_listener_of_its_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("scopegate.yaml"), DEVELOPMENT).unwrap();
    let manager = Manager::new();
    let (first, _) = loopback();
    let (second, _) = loopback();
    for (names, message) in [
        (
            "server:operation",
            "a socket named `operation`; expected `FileDescriptorName=` to be one of `server`",
        ),
        ("server:server", "several sockets named `server`; expected one"),
    ] {
        let refused = activate(folder.path(), &manager, [&first, &second], names).wait_with_output().unwrap();
        let errors = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{errors}");
        assert!(errors.contains(message), "{errors}");
    }
}

#[test]
fn the_built_in_configuration_is_not_served_on_a_socket_beyond_loopback() {
    let folder = tempfile::tempdir().unwrap();
    let manager = Manager::new();
    let (operations, _) = loopback();
    let server = TcpListener::bind("0.0.0.0:0").unwrap();
    let refused = activate(folder.path(), &manager, [&operations, &server], "operations:server");
    let refused = refused.wait_with_output().unwrap();
    let errors = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    assert!(errors.contains("but the built-in configuration has secrets that everyone knows"), "{errors}");
}

/// The unit's `SystemCallFilter=~@privileged @resources` answers EPERM to these.
#[cfg(target_arch = "x86_64")]
#[test]
fn starts_where_neither_priorities_nor_limits_can_be_set() {
    // A filter of seccomp(2): setpriority, setrlimit, sched_setscheduler, sched_setaffinity, mbind, set_mempolicy and
    // ioprio_set fail with EPERM.
    let filtered = r#"
import ctypes, os, struct, sys
calls = [141, 160, 144, 203, 237, 238, 251]
load = struct.pack("HBBI", 0x20, 0, 0, 0)
tests = [struct.pack("HBBI", 0x15, len(calls) - index, 0, call) for index, call in enumerate(calls)]
allow, deny = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000), struct.pack("HBBI", 0x06, 0, 0, 0x00050001)
program = b"".join([load, *tests, allow, deny])
code = ctypes.create_string_buffer(program)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
rules = Program(len(program) // 8, ctypes.addressof(code))
assert libc.prctl(22, 2, ctypes.byref(rules), 0, 0) == 0, ctypes.get_errno()
try:
    os.setpriority(os.PRIO_PROCESS, 0, 19)
except PermissionError:
    os.execv(sys.argv[1], sys.argv[1:])
"#;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("scopegate.yaml"), DEVELOPMENT).unwrap();
    let manager = Manager::new();
    let child = Command::new("python3")
        .args(["-c", filtered, env!("CARGO_BIN_EXE_scopegate"), "serve"])
        .current_dir(folder.path())
        .env("NOTIFY_SOCKET", manager.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    manager.wait_for("READY=1");
    terminate(child);
}
