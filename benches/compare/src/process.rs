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

/// The core of the measured programs.
pub(crate) const SERVER: &str = "0";
/// The core of the load and of upstreams.
pub(crate) const LOAD: &str = "1";

/// Returns a port that is free now.
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
        let file = fs::File::create(log).unwrap();
        let name = command.join(" ");
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

    /// Returns the processor time so far, of the program and its children.
    pub(crate) fn cpu(&self) -> Duration {
        let ticks: u64 = self.family().iter().map(|id| ticks(*id)).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Returns the resident memory in bytes: all of it, and the part that is not shared with the program's file.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        (kilobytes(&status, "VmRSS:") * 1024, kilobytes(&status, "RssAnon:") * 1024)
    }

    /// Returns the process ids of the program and its descendants.
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

/// Returns a field of `/proc/PID/status`.
fn kilobytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Returns the number of TCP connections that were accepted on this machine so far (`PassiveOpens`).
pub(crate) fn accepted_connections() -> u64 {
    let text = fs::read_to_string("/proc/net/snmp").unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return 0 };
    let mut fields = names.split(' ').zip(values.split(' '));
    let passive = fields.find(|(name, _)| *name == "PassiveOpens");
    passive.and_then(|(_, value)| value.parse().ok()).unwrap_or_default()
}

/// Returns the processor time of a process in hundredths of a second (proc(5): `utime` and `stime`).
fn ticks(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let behind_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = behind_name.split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}
