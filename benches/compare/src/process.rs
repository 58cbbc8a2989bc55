//! Programs under measurement: started on one core, watched, ended with their children.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The core of what is measured.
pub(crate) const SERVER: &str = "0";
/// The core of what loads it, and of upstreams.
pub(crate) const LOAD: &str = "1";

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A program that runs until this is dropped.
pub(crate) struct Process {
    child: Child,
    /// How long it took to accept its first connection.
    pub(crate) started: Duration,
}

impl Process {
    /// Starts `command` on `core` and waits until it accepts connections on `port`.
    pub(crate) fn start(core: &str, command: &[&str], log: &Path, port: u16) -> Result<Self, String> {
        let (file, name) = (fs::File::create(log).unwrap(), command.join(" "));
        let begin = Instant::now();
        let child = Command::new("taskset")
            .args(["-c", core])
            .args(command)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let mut this = Self { child, started: Duration::ZERO };
        while TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_err() {
            if this.child.try_wait().unwrap().is_some() || begin.elapsed() > Duration::from_secs(20) {
                let said = fs::read_to_string(log).unwrap_or_default();
                return Err(format!("{name} does not start: {}", said.trim()));
            }
            thread::sleep(Duration::from_millis(1));
        }
        this.started = begin.elapsed();
        Ok(this)
    }

    /// The time on a processor so far, of the program and its children.
    pub(crate) fn cpu(&self) -> Duration {
        let ticks: u64 = self.family().iter().map(|id| ticks(*id)).sum();
        Duration::from_millis(ticks * 10)
    }

    /// The memory that is resident, in bytes: whole, and without what is shared with the program's file.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
            line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        (field("VmRSS:"), field("RssAnon:"))
    }

    /// The program and what it started.
    fn family(&self) -> Vec<u32> {
        let mut family = vec![self.child.id()];
        let mut next = 0;
        while let Some(id) = family.get(next).copied() {
            let path = format!("/proc/{id}/task/{id}/children");
            let children = fs::read_to_string(path).unwrap_or_default();
            family.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
            next += 1;
        }
        family
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

/// Hundredths of a second that a process was on a processor (proc(5): `utime` and `stime`).
fn ticks(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let behind_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = behind_name.split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}
