//! `docs/operations.md` is done: the commands of each drill run in one shell, in their order, as the page has them.

mod restore;
mod rolling;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::app::BINARY;
use crate::faults::cluster::Cluster;

const PAGE: &str = include_str!("../../docs/operations.md");

/// The commands under a heading of the page.
fn commands(heading: &str) -> String {
    let (_, rest) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no drill '{heading}'"));
    let section = rest.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands: String = blocks.collect();
    assert!(!commands.is_empty(), "'{heading}' has no commands");
    commands
}

/// A part of a drill, between two headings of the third order.
fn part(heading: &str, part: &str) -> String {
    let (_, rest) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no drill '{heading}'"));
    let section = rest.split("\n## ").next().unwrap_or_default();
    let (_, rest) = section.split_once(&format!("\n### {part}\n")).unwrap_or_else(|| panic!("no part '{part}'"));
    let blocks = rest.split("\n### ").next().unwrap_or_default().split("```sh\n").skip(1);
    blocks.filter_map(|rest| rest.split("```").next()).collect()
}

/// An operator's shell in the folder of a cluster, with two instances configured.
struct Shell {
    bash: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    dir: PathBuf,
    said: usize,
    urls: [String; 2],
}

impl Shell {
    /// `settings` are further lines of both configurations.
    fn open(cluster: &Cluster, settings: &str, environment: &[(&str, &str)]) -> Shell {
        let dir = PathBuf::from(cluster.path(""));
        let urls = ["one", "two"].map(|name| {
            let address = format!("127.0.0.1:{}", free_port());
            let own = format!("http.listen = \"{address}\"\nstorage.path = \"{name}.db\"\n");
            cluster.write(&format!("{name}.toml"), &format!("{own}{settings}{}", cluster.toml()));
            format!("http://{address}")
        });
        for version in ["v1", "v2"] {
            fs::create_dir(dir.join(version)).expect("made");
            std::os::unix::fs::symlink(BINARY, dir.join(version).join("quoteguard")).expect("linked");
        }
        let binaries = Path::new(BINARY).parent().expect("a folder").display();
        let path = format!("{binaries}:{}", std::env::var("PATH").unwrap_or_default());
        let mut bash = Command::new("bash")
            .current_dir(&dir)
            .env("PATH", path)
            .env("ONE", &urls[0])
            .env("TWO", &urls[1])
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(dir.join("shell.log")).expect("a file"))
            .process_group(0)
            .spawn()
            .expect("starts");
        let (stdin, stdout) = (bash.stdin.take().expect("piped"), BufReader::new(bash.stdout.take().expect("piped")));
        let mut shell = Shell { bash, stdin, stdout, dir, said: 0, urls };
        shell.run("set -euo pipefail");
        shell.run(&commands("The commands"));
        shell
    }

    /// Runs these commands to their end and gives what they print; each must succeed.
    fn run(&mut self, commands: &str) -> String {
        self.said += 1;
        let mark = format!("--- done {}", self.said);
        writeln!(self.stdin, "{{ {commands}\n:\n}} </dev/null\necho '{mark}'").expect("the shell reads");
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            let read = self.stdout.read_line(&mut line).expect("text");
            let logs = || {
                ["shell", "one", "two"].map(|name| fs::read_to_string(self.dir.join(format!("{name}.log"))).unwrap_or_default())
            };
            assert!(read > 0, "a command failed in:\n{commands}\n{printed}\n{}", logs().join("\n---\n"));
            if line.trim_end() == mark {
                return printed;
            }
            printed += &line;
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Its instances are in its group.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.bash.id())]).status();
        let _ = self.bash.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
