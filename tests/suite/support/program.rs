//! The program, started with a configuration of the test's own on free ports, and stopped with the test.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::Duration,
};

use tempfile::TempDir;

/// Long enough for a busy machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server.
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
    pub(crate) url: String,
    pub(crate) operations: String,
    /// Where Envoy asks over gRPC; empty if it does not.
    pub(crate) grpc: String,
}

impl Server {
    /// Starts `scopegate serve` with this configuration; a listener on port 0 gets a free one.
    pub(crate) fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("scopegate.yaml");
        std::fs::write(&file, config).unwrap();
        Self::in_folder(folder, &["--config", file.to_str().unwrap()], &[])
    }

    /// Starts the program with these arguments and variables.
    pub(crate) fn in_folder(folder: TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = command(folder.path())
            .args(arguments)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let greeting = greeting(&mut child);
        let line = |label: &str| greeting.iter().find_map(|line| line.trim().strip_prefix(label));
        let after = |label: &str| {
            let line = line(label).unwrap_or_else(|| panic!("no line {label:?} in {greeting:#?}"));
            line.trim().to_owned()
        };
        let (url, operations) = (after("listening on"), after("operations on"));
        let grpc = line("gRPC on").unwrap_or_default().trim().to_owned();
        Self { child, folder, url, operations, grpc }
    }

    /// The folder that it runs in, with its configuration as `scopegate.yaml`.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs another command in its folder, with its configuration; how it ended.
    pub(crate) fn command(&self, arguments: &[&str]) -> i32 {
        command(self.folder.path()).args(arguments).status().unwrap().code().unwrap()
    }

    /// Runs another command in its folder, with its configuration; what it printed, and how it ended.
    pub(crate) fn output(&self, arguments: &[&str]) -> Run {
        let output = command(self.folder.path()).args(arguments).output().unwrap();
        Run {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts another command in its folder, with a variable of the environment.
    pub(crate) fn spawn(&self, arguments: &[&str], (name, value): (&str, &str)) -> Child {
        command(self.folder.path()).args(arguments).env(name, value).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Sends it a signal, such as `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The memory that it has in the machine, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.of_memory("VmRSS:")
    }

    /// The most that it has held in memory so far, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.of_memory("VmHWM:")
    }

    fn of_memory(&self, label: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(label)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Waits until it has ended, and says how. Other tasks go on: it may wait for what a client of this test has to say.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        loop {
            if let Some(ended) = self.ended() {
                return ended;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines up to the one that says that it has started.
fn greeting(child: &mut Child) -> Vec<String> {
    let output = child.stdout.take().unwrap();
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // The test may have ended.
            let _ = sender.send(line);
        }
    });
    let mut greeting = Vec::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) if line.starts_with("ready") => return greeting,
            Ok(line) => greeting.push(line),
            Err(error) => panic!("the program did not start ({error}); it printed {greeting:#?}"),
        }
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scopegate"));
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

/// `scopegate issuer`, alone.
pub(crate) struct Issuer {
    child: Child,
    _folder: TempDir,
    /// Its issuer, byte for byte.
    pub(crate) name: String,
    /// Its token endpoint.
    pub(crate) token: String,
}

impl Issuer {
    /// Starts one; `--listen 127.0.0.1:0` unless the arguments say otherwise.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut all = vec!["issuer"];
        if !arguments.contains(&"--listen") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        all.extend(arguments);
        let mut child =
            command(folder.path()).args(all).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let greeting = greeting(&mut child);
        let after = |label: &str| {
            let line = greeting.iter().find_map(|line| line.strip_prefix(label));
            line.unwrap_or_else(|| panic!("no line {label:?} in {greeting:#?}")).trim().to_owned()
        };
        let (name, token) = (after("issuer "), after("token "));
        Self { child, _folder: folder, name, token }
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> String {
        self.name.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
    }

    /// Where it listens, for starting another in its place.
    pub(crate) fn address(&self) -> String {
        self.origin().trim_start_matches("http://").to_owned()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `scopegate` with these arguments in a folder that holds these files.
pub(crate) fn run(files: &[(&str, &str)], arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path: PathBuf = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    }
    run_in(folder.path(), arguments)
}

/// Runs `scopegate` with these arguments in a folder.
pub(crate) fn run_in(folder: &Path, arguments: &[&str]) -> Run {
    let mut child =
        command(folder).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    });
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    let code = child.wait().unwrap().code().expect("ended by a signal");
    Run { code, stdout, stderr: errors.join().unwrap() }
}
