//! `docs/rules.md` is run: its files are written, its commands executed in order, and each line of output compared. Times aside.
//! `UPDATE_DOCS=1 cargo test tutorial` writes what the commands say now.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use loadtest::generate::write;
use loadtest::plan::{Config, Mix};

use crate::app::{BINARY, until};

const TUTORIAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rules.md");
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
/// The port that the text names; the test takes a free one.
const PORT: &str = "8480";
/// How long a service is given to settle before its words are written down; where they are compared, they are waited for.
const SETTLED: Duration = Duration::from_secs(3);

#[test]
fn the_tutorial_says_what_happens() {
    let dir = tempfile::tempdir().expect("a folder");
    let written = fs::read_to_string(TUTORIAL).expect("the tutorial");
    let mut place =
        Place { dir: dir.path(), port: free_port(), is_updating: std::env::var_os("UPDATE_DOCS").is_some(), services: vec![] };
    place.furnish();
    let mut text = String::new();
    let mut lines = written.lines();
    while let Some(line) = lines.next() {
        text += &format!("{line}\n");
        if let Some(name) = line.strip_prefix("<!-- file: ").and_then(|rest| rest.strip_suffix(" -->")) {
            text += &format!("{}\n", lines.next().expect("a block"));
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            fs::write(dir.path().join(name), block.join("\n") + "\n").expect("written");
            text += &format!("{}\n```\n", block.join("\n"));
        } else if line == "```console" {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let mut steps = block.iter().peekable();
            while let Some(step) = steps.next() {
                let command = step.strip_prefix("$ ").unwrap_or_else(|| panic!("no command: {step}"));
                let mut expected = Vec::new();
                while let Some(line) = steps.next_if(|line| !line.starts_with("$ ")) {
                    expected.push(*line);
                }
                text += &format!("$ {command}\n{}", place.run(command, &expected.join("\n")));
            }
            text += "```\n";
        }
    }
    if place.is_updating {
        fs::write(TUTORIAL, text).expect("written");
    }
}

struct Place<'a> {
    dir: &'a Path,
    port: String,
    is_updating: bool,
    services: Vec<Child>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        for service in &mut self.services {
            let _ = service.kill();
            let _ = service.wait();
        }
    }
}

impl Place<'_> {
    fn furnish(&self) {
        let config = Config { seed: 5, quotes: 4_000, mix: Mix::Normal, days: 14, tenants: 1 };
        let (mut quotes, mut truth) = (Vec::new(), Vec::new());
        write(&config, &mut quotes, &mut truth).expect("in memory");
        fs::write(self.dir.join("history.jsonl"), quotes).expect("written");
        fs::write(self.dir.join("truth.jsonl"), truth).expect("written");
        let copied = Command::new("cp").arg("-r").arg(RULES).arg(self.dir).status().expect("runs");
        assert!(copied.success());
    }

    fn shell(&self, command: &str) -> Command {
        let binaries = Path::new(BINARY).parent().expect("a folder");
        let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.args(["-c", &command.replace(PORT, &self.port)]).env("PATH", path).current_dir(self.dir);
        shell
    }

    /// Runs the command and gives its output as the text shows it.
    fn run(&mut self, command: &str, expected: &str) -> String {
        if let Some(service) = command.strip_suffix(" &") {
            let child = self.shell(&format!("exec {service}")).stderr(Stdio::null()).spawn().expect("starts");
            self.services.push(child);
            let address = format!("127.0.0.1:{}", self.port);
            until("the service listens", || std::net::TcpStream::connect(&address).is_ok());
            return String::new();
        }
        let say = || {
            // Beside a result, stderr says how fast it went.
            let Output { status, stdout, stderr } = self.shell(command).output().expect("runs");
            let all = if status.success() { stdout } else { [stdout, stderr].concat() };
            String::from_utf8_lossy(&all).replace(&self.port, PORT)
        };
        // Asking again changes nothing, and the service takes its time.
        let is_asking = command.contains("rules status");
        if self.is_updating {
            if is_asking {
                sleep(SETTLED);
            }
            return say();
        }
        let mut said = say();
        if is_asking {
            until(command, || {
                said = say();
                timeless(&said) == timeless(expected)
            });
        }
        assert_eq!(timeless(&said), timeless(expected), "$ {command}\n{said}");
        said
    }
}

/// Without times and blank ends of lines.
fn timeless(text: &str) -> String {
    let is_time = |word: &str| word.len() >= 20 && word.starts_with("20") && word.contains('T') && word.ends_with('Z');
    let line = |line: &str| {
        line.trim_end().split(' ').map(|word| if is_time(word) { "TIME" } else { word }).collect::<Vec<_>>().join(" ")
    };
    text.trim_end().lines().map(line).collect::<Vec<_>>().join("\n")
}

fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port().to_string()
}
