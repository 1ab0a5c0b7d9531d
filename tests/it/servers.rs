//! Private servers that a test may break.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Redis,
}

/// A server of one test, in a folder of its own: killed with the test, whatever state it is in.
pub struct Private {
    dir: TempDir,
    port: u16,
    settings: Vec<String>,
    child: Mutex<Option<Child>>,
}

/// A data directory as it was.
pub struct Copy(TempDir);

impl Private {
    pub fn start(_kind: Kind, settings: &[&str]) -> Private {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let dir = tempfile::tempdir().expect("a temporary folder");
        let settings = settings.iter().map(ToString::to_string).collect();
        let server = Private { dir, port, settings, child: Mutex::default() };
        server.restart();
        server
    }

    /// Starts it again, on the same port and data.
    pub fn restart(&self) {
        let data = self.dir.path().join("data");
        std::fs::create_dir_all(&data).expect("a folder");
        let fixed =
            [format!("port {}", self.port), format!("dir {}", data.display()), "save \"\"".into(), "bind 127.0.0.1".into()];
        let defaults = ["appendonly yes".to_owned(), "maxmemory-policy noeviction".to_owned()];
        let lines = [&fixed[..], &defaults, &self.settings].concat().join("\n");
        std::fs::write(self.dir.path().join("redis.conf"), lines).expect("written");
        let mut command = Command::new("redis-server");
        command.arg(self.dir.path().join("redis.conf")).stdout(Stdio::null());
        *self.child.lock().expect("held by one") = Some(command.spawn().expect("redis-server starts"));
        let began = Instant::now();
        while redis_cli(&self.url(), &["ping"]) != "PONG" {
            assert!(began.elapsed() < Duration::from_secs(20), "Redis does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill(&self) {
        if let Some(mut child) = self.child.lock().expect("held by one").take() {
            child.kill().and_then(|()| child.wait()).expect("killed");
        }
    }

    /// SIGSTOP: connections stay and nothing answers.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.lock().expect("held by one").as_ref().expect("runs").id();
        run(Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()));
    }

    /// Copies the data directory; what the server has not written to a file yet is not in it.
    pub fn save(&self) -> Copy {
        let copy = tempfile::tempdir().expect("a temporary folder");
        run(Command::new("cp").arg("-a").arg(self.dir.path().join("data")).arg(copy.path()));
        Copy(copy)
    }

    /// Kills the server, puts an older copy in place of its data and starts it again.
    pub fn rewind(&self, copy: &Copy) {
        self.kill();
        std::fs::remove_dir_all(self.dir.path().join("data")).expect("removed");
        run(Command::new("cp").arg("-a").arg(copy.0.path().join("data")).arg(self.dir.path()));
        self.restart();
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A server with TLS and a user of few rights.
pub struct Secure {
    /// `rediss://`, without user and password.
    pub redis: String,
    /// PEM file of the CA.
    pub ca: PathBuf,
    pub user: String,
    pub password_file: PathBuf,
    _server: Private,
    _dir: TempDir,
}

pub fn secure() -> Secure {
    let dir = tempfile::tempdir().expect("a temporary folder");
    certificates(dir.path());
    let at = |name: &str| dir.path().join(name);
    let tls = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let settings = [
        format!("tls-port {tls}"),
        format!("tls-cert-file {}", at("server.pem").display()),
        format!("tls-key-file {}", at("server.key").display()),
        format!("tls-ca-cert-file {}", at("ca.pem").display()),
        "tls-auth-clients no".to_owned(),
        "user quoteguard on >not-to-be-seen ~quoteguard:* +@read +@write +@transaction +info".to_owned(),
    ];
    std::fs::write(at("password"), "not-to-be-seen\n").expect("written");
    let server = Private::start(Kind::Redis, &settings.each_ref().map(String::as_str));
    Secure {
        redis: format!("rediss://127.0.0.1:{tls}"),
        ca: at("ca.pem"),
        user: "quoteguard".to_owned(),
        password_file: at("password"),
        _server: server,
        _dir: dir,
    }
}

fn certificates(dir: &Path) {
    let openssl = |args: &str| run(Command::new("openssl").args(args.split(' ')).current_dir(dir));
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca");
    openssl("req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost");
    std::fs::write(dir.join("ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost").expect("written");
    openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out server.pem");
}

/// Its standard output; fails with what it said.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn redis_cli(server: &str, args: &[&str]) -> String {
    let output = Command::new("redis-cli").args(["-u", server]).args(args).output().expect("redis-cli runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
