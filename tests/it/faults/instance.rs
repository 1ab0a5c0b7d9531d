//! One process of the service.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::cluster::until;
use crate::app::BINARY;
use crate::servers::run;

/// What is told of a process that a failed test leaves.
const LINES_TOLD: usize = 30;
/// Far above what the workload needs, far below what a leak would take in a minute of records.
const DESCRIPTORS_MAX: usize = 200;
const RESIDENT_MAX: u64 = 600 << 20;
/// No answer for so long is none.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

pub struct Instance {
    child: Child,
    log: PathBuf,
}

impl Instance {
    /// Starts the service in a folder that holds its configuration. It may be some time until it listens.
    pub fn spawn(folder: &Path, config: &str, number: usize, environment: &[(&str, &str)]) -> Instance {
        let log = folder.join(format!("instance-{number}.log"));
        let child = Command::new(BINARY)
            .args(["serve", "--listen", "127.0.0.1:0", "--config", config])
            .envs(environment.iter().copied())
            .current_dir(folder)
            .stderr(File::create(&log).expect("a file"))
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        Instance { child, log }
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).expect("its log")).into_owned()
    }

    /// Where it listens; `None` before it does.
    pub fn addr(&self) -> Option<SocketAddr> {
        let said = self.said();
        let listening = said.lines().find(|line| line.contains("\"listening\""))?;
        let entry: serde_json::Value = serde_json::from_str(listening).ok()?;
        entry["address"].as_str()?.parse().ok()
    }

    pub fn await_ready(&mut self) {
        until("the service is ready", || {
            assert!(self.ended().is_none(), "it has ended:\n{}", self.tail());
            self.get("/readyz").is_some_and(|(status, _)| status == 200)
        });
    }

    /// Status and body; `None` without an answer.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"))
    }

    /// Posts a form; status and body.
    pub fn check(&self, form: &[u8]) -> Option<(u16, String)> {
        self.post("/v1/quotes/check", std::str::from_utf8(form).expect("JSON"))
    }

    /// Posts JSON; status and body.
    pub fn post(&self, path: &str, body: &str) -> Option<(u16, String)> {
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    fn ask(&self, request: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.addr()?, ANSWER_PATIENCE).ok()?;
        stream.set_read_timeout(Some(ANSWER_PATIENCE)).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// The sum of a metric over its labels, of those lines that hold `label`.
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let (_, text) = self.get("/metrics").expect("metrics");
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) {
        run(Command::new("kill").arg(format!("-{signal}")).arg(self.pid().to_string()));
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("its end");
    }

    /// An orderly stop.
    pub fn stop(mut self) {
        self.signal("TERM");
        until("the service has stopped", || self.ended().is_some());
    }

    /// The signal it died of, or else its exit code, negative.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.child.try_wait().expect("its status")?;
        Some(status.signal().unwrap_or_else(|| -status.code().unwrap_or(0)))
    }

    /// Waits until it has killed itself.
    pub fn await_death(&mut self) {
        until("the process has died", || self.ended().is_some());
        let ended = self.ended().expect("has ended");
        assert!(ended > 0, "it ended by itself ({ended}):\n{}", self.tail());
    }

    /// Fails where it takes more than its share of the machine.
    pub fn check_bounds(&self) {
        let proc = PathBuf::from(format!("/proc/{}", self.pid()));
        let descriptors = std::fs::read_dir(proc.join("fd")).expect("runs").count();
        assert!(descriptors <= DESCRIPTORS_MAX, "{descriptors} open files");
        let status = std::fs::read_to_string(proc.join("status")).expect("runs");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        let resident = resident.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10;
        assert!(resident <= RESIDENT_MAX, "{resident} bytes resident");
    }

    fn tail(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(LINES_TOLD)..].join("\n")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.tail());
        }
    }
}
