//! A real service on a free port, with a folder of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Row};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

pub const BINARY: &str = env!("CARGO_BIN_EXE_quoteguard");
/// Generous: only a broken service comes near it.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct TestApp {
    child: Child,
    pub addr: SocketAddr,
    pub dir: Arc<TempDir>,
    /// What the process says.
    said: JoinHandle<String>,
    client: Client<HttpConnector, Full<Bytes>>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl TestApp {
    /// With the given configuration (TOML) in a fresh folder, ready for quotes.
    pub async fn start(config: &str) -> TestApp {
        let dir = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        TestApp::start_in(dir, config).await
    }

    /// Again in a folder that has been used before.
    pub async fn start_in(dir: Arc<TempDir>, config: &str) -> TestApp {
        TestApp::start_by(Command::new(BINARY), dir, config).await
    }

    /// In a fresh folder, with a limit on the size of files to come: what goes beyond fails, as it does on a full disk, instead
    /// of killing the process.
    pub async fn start_limitable(config: &str) -> TestApp {
        let dir = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", BINARY]);
        TestApp::start_by(shell, dir, config).await
    }

    async fn start_by(command: Command, dir: Arc<TempDir>, config: &str) -> TestApp {
        let app = TestApp::spawn(command, dir, config).await;
        eventually("the service is ready", async || app.get("/readyz").await.is_ok_and(|a| a.status == 200)).await;
        app
    }

    /// That listens, and may not be ready: over HTTPS only its test can ask.
    pub async fn start_listening(dir: Arc<TempDir>, config: &str) -> TestApp {
        TestApp::spawn(Command::new(BINARY), dir, config).await
    }

    async fn spawn(mut command: Command, dir: Arc<TempDir>, config: &str) -> TestApp {
        std::fs::write(dir.path().join("quoteguard.toml"), config).expect("written");
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0", "--data", "quoteguard.db"])
            .current_dir(dir.path())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("starts");
        let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut said = String::new();
        let addr = loop {
            let line = log.next_line().await.expect("text").unwrap_or_else(|| panic!("ended before listening:\n{said}"));
            said.push_str(&line);
            said.push('\n');
            let entry: Value = serde_json::from_str(&line).unwrap_or_default();
            if entry["message"] == "listening" {
                break entry["address"].as_str().and_then(|addr| addr.parse().ok()).expect("an address");
            }
        };
        // Reads on, or the service would block on a full pipe.
        let said = tokio::spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                said.push_str(&line);
                said.push('\n');
            }
            said
        });
        let client = Client::builder(TokioExecutor::new()).build_http();
        TestApp { child, addr, dir, said, client }
    }

    pub fn database(&self) -> PathBuf {
        self.dir.path().join("quoteguard.db")
    }

    pub async fn get(&self, path: &str) -> Result<Answer, String> {
        self.send(Request::get(self.url(path)).body(Full::default()).expect("a request")).await
    }

    /// Posts a quote form as JSON.
    pub async fn check(&self, quote: &Value) -> Result<Answer, String> {
        self.post("/v1/quotes/check", "application/json", quote.to_string()).await
    }

    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<Bytes>) -> Result<Answer, String> {
        let request = Request::post(self.url(path)).header("content-type", content_type);
        self.send(request.body(Full::new(body.into())).expect("a request")).await
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let response = self.client.request(request).await.map_err(|e| e.to_string())?;
        let (parts, body) = response.map(Body::new).into_parts();
        let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// `kill -9`: nothing is flushed, nobody is told.
    pub async fn kill(mut self) -> Arc<TempDir> {
        self.child.kill().await.expect("killed");
        self.dir.clone()
    }

    /// SIGTERM, and how the process ended.
    pub async fn stop(self) -> (Arc<TempDir>, ExitStatus) {
        self.terminate();
        self.wait().await
    }

    /// How the process ended.
    pub async fn wait(mut self) -> (Arc<TempDir>, ExitStatus) {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("ends").expect("its status");
        (self.dir.clone(), status)
    }

    /// How the process ended, and what it said on stderr.
    pub async fn wait_and_hear(mut self) -> (Arc<TempDir>, ExitStatus, String) {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("ends").expect("its status");
        (self.dir.clone(), status, self.said.await.expect("heard"))
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("runs")
    }

    /// From now on the process can write to its files up to so many bytes: a number, or `unlimited`.
    pub fn limit_files(&self, bytes: &str) {
        let limit = format!("--fsize={bytes}:unlimited");
        let status = std::process::Command::new("prlimit").args(["--pid", &self.pid().to_string(), &limit]).status();
        assert!(status.expect("prlimit runs").success());
    }

    pub fn terminate(&self) {
        let pid = self.pid().to_string();
        let status = std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(status.success());
    }

    /// The value of one metric, 0 when it is not there yet.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.metrics().await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Of one metric over all its labels.
    #[cfg(all(feature = "kafka", feature = "redis"))]
    pub async fn sum(&self, name: &str) -> f64 {
        let text = self.metrics().await;
        let samples = text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')));
        samples.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect("a number")).sum()
    }

    async fn metrics(&self) -> String {
        let text = self.get("/metrics").await.expect("answers").body;
        String::from_utf8(text.to_vec()).expect("text")
    }
}

/// Waits until `condition` holds; fails, and says what was awaited, when it does not.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let holds = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, holds).await.is_ok(), "waited in vain until {what}");
}

/// As [`eventually`], for tests on threads.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A second connection to a service's file.
pub async fn connect(database: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(database).create_if_missing(false);
    SqliteConnection::connect_with(&options).await.expect("opens")
}

/// One column of a query, as text.
pub async fn column(database: &Path, sql: &'static str) -> Vec<String> {
    let rows = sqlx::query(sql).fetch_all(&mut connect(database).await).await.expect("reads");
    rows.iter().map(|row| row.get(0)).collect()
}
