//! A PostgreSQL of one's own, from Debian's packages: in a temporary folder, on a socket in it.

use std::{
    ffi::OsStr,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

/// A running PostgreSQL. It is stopped, and its folder removed, when this is dropped or the process ends in whatever way.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    programs: PathBuf,
    // Closing it stops the server.
    commands: Mutex<Option<ChildStdin>>,
    guard: Child,
}

/// Runs the server as long as its input is open, does what the input says, and cleans up.
const GUARD: &str = r#"
folder=$1 programs=$2 as=$3
cd "$folder"
serve() {
    until [ -e ended ]; do
        [ -e down ] || $as "$programs/postgres" -D data -k "$folder" -c listen_addresses= -c fsync=off \
            -c max_connections=300 -c shared_buffers=32MB >> log 2>&1
        sleep 0.1
    done
}
process() { head -n 1 data/postmaster.pid; }
# With its children: one that is busy all the time does not notice that it is alone. It is stopped first, so that it makes
# no more of them and buries none: the list of children leaves some out while others go.
kill_all() {
    kill -STOP "$1"
    for again in 1 2 3; do kill -KILL $(cat /proc/"$1"/task/*/children); done
    kill -KILL "$1"
}
serve &
while read -r command; do
    case $command in
        kill) touch down; kill_all "$(process)" ;;
        stop) touch down; kill -INT "$(process)" ;;
        start) rm -f down ;;
    esac
done
touch ended
kill -INT "$(process)" 2>/dev/null
wait
cd /
rm -rf "$folder"
"#;

/// The time limit of a start on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

impl Postgres {
    /// Starts a server.
    pub fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("scopegate-postgres-{}-{count}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let programs = programs();
        let user = as_user(&folder);
        initialise(&folder, &programs, user);
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "sh"].map(OsStr::new))
            .args([folder.as_os_str(), programs.as_os_str(), OsStr::new(user)])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = Mutex::new(guard.stdin.take());
        let server = Self { folder, programs, commands, guard };
        server.wait();
        server
    }

    /// The server that the tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Makes an empty database and gives its URL.
    pub fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        assert!(self.psql("postgres", &format!("CREATE DATABASE {name}")), "cannot create a database");
        self.url(&name)
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.to_str().unwrap().replace('/', "%2F");
        format!("postgres://postgres@localhost/{database}?host={folder}")
    }

    /// The socket that the server listens on.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// Runs statements; says whether they succeeded.
    pub fn psql(&self, database: &str, sql: &str) -> bool {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.arg("-h").arg(&self.folder).args(["-U", "postgres", "-q", "-v", "ON_ERROR_STOP=1"]);
        psql.args(["-d", database, "-c", sql]).stdout(Stdio::null()).stderr(Stdio::null());
        psql.status().unwrap().success()
    }

    /// Kills the server, as a power failure would.
    pub fn kill(&self) {
        self.command("kill");
        self.wait_until_gone();
    }

    /// Stops the server in order.
    pub fn stop(&self) {
        self.command("stop");
        self.wait_until_gone();
    }

    /// Starts it again, and waits until it answers.
    pub fn restart(&self) {
        self.command("start");
        self.wait();
    }

    /// Restarts the server, and keeps a copy of its files from the moment between.
    pub fn keep(&self) {
        self.end();
        copy(&self.folder.join("data"), &self.folder.join("kept"));
        self.restart();
    }

    /// Restarts the server with the files of the last [`Postgres::keep`]: everything that was written since is lost.
    pub fn return_to_kept(&self) {
        self.end();
        copy(&self.folder.join("kept"), &self.folder.join("data"));
        self.restart();
    }

    /// Stops the server in order, and waits until it has left its files.
    fn end(&self) {
        self.stop();
        self.until("leave its files", || !self.folder.join("data/postmaster.pid").exists());
    }

    fn command(&self, command: &str) {
        writeln!(self.commands.lock().unwrap().as_mut().unwrap(), "{command}").unwrap();
    }

    fn wait(&self) {
        self.until("start", || self.psql("postgres", "SELECT 1"));
    }

    fn wait_until_gone(&self) {
        self.until("stop", || !self.psql("postgres", "SELECT 1"));
    }

    fn until(&self, what: &str, done: impl Fn() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < PATIENCE, "PostgreSQL does not {what}: {}", self.log());
            sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.commands.lock().unwrap().take());
        let _ = self.guard.wait();
    }
}

/// Replaces a folder by a copy of another, with owners and rights.
fn copy(from: &Path, to: &Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).unwrap();
    }
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success(), "cp failed");
}

/// The newest of Debian's, or whatever is on the path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL is not installed: apt-get install postgresql")
}

/// PostgreSQL does not run as root: the words that make a command run as Debian's user, who is given the folder.
fn as_user(folder: &Path) -> &'static str {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    if std::fs::metadata(folder).unwrap().uid() != 0 {
        return "";
    }
    assert!(Command::new("chown").arg("postgres").arg(folder).status().unwrap().success());
    "setpriv --reuid=postgres --regid=postgres --clear-groups"
}

fn initialise(folder: &Path, programs: &Path, user: &str) {
    let mut words = user.split_whitespace().map(OsStr::new).collect::<Vec<_>>();
    let initdb = programs.join("initdb");
    words.push(initdb.as_os_str());
    let output = Command::new(words[0])
        .args(&words[1..])
        .arg("-D")
        .arg(folder.join("data"))
        .args([
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
            "--no-instructions",
            "--encoding=UTF8",
            "--locale=C",
        ])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
}
