//! Real servers: the ones that `make test` or `make services` started for all tests, and private ones that a test may break.
//!
//! Starting one takes seconds and blocks: in an async test, use the multi-threaded flavour.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services.sh");

/// Each test takes names of its own there: see [`unique`].
pub fn kafka() -> &'static str {
    static ADDRESS: LazyLock<String> = LazyLock::new(|| setting("QUOTEGUARD_TEST_KAFKA"));
    &ADDRESS
}

/// URL of the shared Redis.
pub fn redis() -> &'static str {
    static URL: LazyLock<String> = LazyLock::new(|| setting("QUOTEGUARD_TEST_REDIS"));
    &URL
}

/// URL of a database of the shared PostgreSQL.
pub fn postgres() -> &'static str {
    static URL: LazyLock<String> = LazyLock::new(|| setting("QUOTEGUARD_TEST_POSTGRES"));
    &URL
}

/// The TLS side of the shared servers.
pub struct Secure {
    /// SASL_SSL, mechanisms PLAIN and SCRAM-SHA-512.
    pub kafka: String,
    /// `rediss://`, without user and password. The user may touch keys that begin with `quoteguard:`.
    pub redis: String,
    /// PEM file of the CA.
    pub ca: PathBuf,
    /// The same for both servers.
    pub user: String,
    pub password_file: PathBuf,
}

pub fn secure() -> Secure {
    Secure {
        kafka: setting("QUOTEGUARD_TEST_KAFKA_SECURE"),
        redis: setting("QUOTEGUARD_TEST_REDIS_SECURE"),
        ca: setting("QUOTEGUARD_TEST_CA").into(),
        user: setting("QUOTEGUARD_TEST_USER"),
        password_file: setting("QUOTEGUARD_TEST_PASSWORD_FILE").into(),
    }
}

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!(
            "this test needs a real server and {name} is not set: run `make test`, or `make services` and \
             `. target/services/env`, or build the tests without it: `make test-embedded`"
        )
    })
}

/// A name for topics, groups and keys that no other test and no earlier run has used.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000;
    format!("{name}-{now:x}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Kafka,
    Redis,
    Postgres,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Kafka => "kafka",
            Kind::Redis => "redis",
            Kind::Postgres => "postgres",
        }
    }
}

/// A server of one test, in a folder of its own: killed with the test, whatever state it is in.
pub struct Private {
    kind: Kind,
    dir: TempDir,
    /// Further lines of its configuration: `KEY=VALUE` for Kafka, `KEY VALUE` for Redis.
    settings: Vec<String>,
}

/// A data directory as it was.
pub struct Copy(TempDir);

impl Private {
    pub fn start(kind: Kind, settings: &[&str]) -> Private {
        Private::start_in(tempfile::tempdir().expect("a temporary folder"), kind, settings)
    }

    /// On these ports, which are free: those of a broker are its clients', its controller's, and one more for a listener in `settings`.
    pub fn start_on(kind: Kind, ports: &[u16], settings: &[&str]) -> Private {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let home = dir.path().join(kind.name());
        let text = ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ") + "\n";
        std::fs::create_dir(&home).expect("made");
        std::fs::write(home.join("ports"), &text).expect("written");
        let server = Private::start_in(dir, kind, settings);
        assert_eq!(std::fs::read_to_string(home.join("ports")).expect("its ports"), text, "the ports were taken");
        server
    }

    fn start_in(dir: TempDir, kind: Kind, settings: &[&str]) -> Private {
        let server = Private { kind, dir, settings: settings.iter().map(ToString::to_string).collect() };
        server.restart();
        server
    }

    /// Starts it again, on the same port and data; does nothing where it runs.
    pub fn restart(&self) {
        let mut command = Command::new(SCRIPT);
        // They would name the shared one, and nothing would be started.
        command.env_remove("QUOTEGUARD_TEST_KAFKA").env_remove("QUOTEGUARD_TEST_REDIS").env_remove("QUOTEGUARD_TEST_POSTGRES");
        command.args(["start", "--only", self.kind.name()]).arg(self.dir.path());
        for setting in &self.settings {
            command.arg(format!("--{}", self.kind.name())).arg(setting);
        }
        run(&mut command);
    }

    /// With other lines of configuration than before.
    pub fn restart_with(&mut self, settings: &[&str]) {
        self.settings = settings.iter().map(ToString::to_string).collect();
        self.restart();
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        let ports = std::fs::read_to_string(self.home().join("ports")).expect("started");
        format!("127.0.0.1:{}", ports.split_whitespace().next().expect("a port"))
    }

    pub fn url(&self) -> String {
        match self.kind {
            Kind::Postgres => format!("postgres://postgres@{}/postgres", self.address()),
            kind => format!("{}://{}", kind.name(), self.address()),
        }
    }

    pub fn pid(&self) -> u32 {
        self.running().expect("runs")
    }

    fn running(&self) -> Option<u32> {
        let pid = std::fs::read_to_string(self.home().join("pid")).ok()?.trim().parse().ok()?;
        // Its working folder tells: a process id is given again.
        let folder = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        folder.starts_with(self.home()).then_some(pid)
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill(&self) {
        self.signal("KILL");
        while self.running().is_some() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// An orderly stop.
    pub fn stop(&self) {
        run(Command::new(SCRIPT).arg("stop").arg(self.dir.path()));
    }

    /// SIGSTOP: connections stay and nothing answers.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        run(Command::new("kill").arg(format!("-{signal}")).arg(self.pid().to_string()));
    }

    /// Copies the data directory; what the server has not written to a file yet is not in it.
    pub fn save(&self) -> Copy {
        let copy = tempfile::tempdir().expect("a temporary folder");
        run(Command::new("cp").arg("-a").arg(self.home().join("data")).arg(copy.path()));
        Copy(copy)
    }

    /// Kills the server, puts an older copy in place of its data and starts it again.
    pub fn rewind(&self, copy: &Copy) {
        self.kill();
        let data = self.home().join("data");
        std::fs::remove_dir_all(&data).expect("removed");
        run(Command::new("cp").arg("-a").arg(copy.0.path().join("data")).arg(&data));
        self.restart();
    }

    /// Stops it, loses its data, and starts it again, empty, at the same address.
    pub fn lose(&self) {
        self.stop();
        std::fs::remove_dir_all(self.home().join("data")).expect("removed");
        self.restart();
    }

    fn home(&self) -> PathBuf {
        self.dir.path().canonicalize().expect("exists").join(self.kind.name())
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if self.running().is_some() {
            self.kill();
        }
    }
}

/// Folder of Kafka's jars, for Java clients.
pub fn jars() -> String {
    run(Command::new(SCRIPT).arg("jars")).trim().to_owned()
}

/// Its standard output; fails with what it said.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn redis_cli(server: &str, args: &[&str]) -> String {
    run(Command::new("redis-cli").args(["-u", server]).args(args)).trim().to_owned()
}

#[test]
fn a_private_redis_can_be_killed_frozen_and_rewound() {
    let mut server = Private::start(Kind::Redis, &["appendfsync always"]);
    let url = server.url();
    assert_eq!(redis_cli(&url, &["config", "get", "appendfsync"]), "appendfsync\nalways");
    redis_cli(&url, &["set", "a", "1"]);
    let copy = server.save();
    redis_cli(&url, &["set", "a", "2"]);
    let before = server.pid();
    server.kill();
    server.restart();
    assert_ne!(server.pid(), before);
    assert_eq!(redis_cli(&url, &["get", "a"]), "2", "the same port, the same data");

    server.freeze();
    let asked = Command::new("timeout").args(["0.2", "redis-cli", "-u", &url, "ping"]).status().expect("runs");
    assert_eq!(asked.code(), Some(124), "it does not answer");
    server.thaw();
    assert_eq!(redis_cli(&url, &["ping"]), "PONG");

    server.rewind(&copy);
    assert_eq!(redis_cli(&url, &["get", "a"]), "1", "the older copy");
    server.stop();
    server.restart_with(&["maxmemory-policy allkeys-lru"]);
    assert_eq!(redis_cli(&url, &["config", "get", "maxmemory-policy"]), "maxmemory-policy\nallkeys-lru");
}

#[test]
fn the_secure_side_of_redis_lets_in_its_user_only() {
    let secure = secure();
    let password = std::fs::read_to_string(&secure.password_file).expect("readable");
    let (ca, user, password) = (secure.ca.to_str().expect("text"), &secure.user, password.trim());
    let tls = ["--cacert", ca, "--no-auth-warning", "--user", user, "--pass", password];
    let ask = |command: &[&str]| redis_cli(&secure.redis, &[&tls[..], command].concat());
    assert_eq!(ask(&["set", "quoteguard:secure", "1"]), "OK");
    assert!(ask(&["set", "another", "1"]).starts_with("NOPERM"), "keys of others");
    assert!(ask(&["config", "set", "maxmemory-policy", "noeviction"]).starts_with("NOPERM"));
}
