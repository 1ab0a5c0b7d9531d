//! What is given out: completions, man pages, the archive and its list of parts.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::app::BINARY;
use crate::commands::text;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn run(command: &mut Command) -> Output {
    let done = command.output().expect("runs");
    assert!(done.status.success(), "{command:?}: {}{}", text(&done.stdout), text(&done.stderr));
    done
}

/// The commands below one, as its help lists them.
fn commands(of: &[&str]) -> Vec<String> {
    let help = text(&run(Command::new(BINARY).args(of).arg("--help")).stdout);
    let Some((_, below)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let listed = below.lines().take_while(|line| !line.is_empty());
    listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|n| !n.is_empty()).map(str::to_owned).collect()
}

/// All of them, as `rules-check`.
fn all_commands() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for command in commands(&[]).into_iter().filter(|command| command != "help") {
        let below = commands(&[&command]).into_iter().filter(|below| below != "help");
        all.extend(below.map(|below| format!("{command}-{below}")));
        all.insert(command);
    }
    all
}

#[test]
fn completions_know_every_command_and_bash_takes_them() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let told = text(&run(Command::new(BINARY).args(["completions", shell])).stdout);
        for command in all_commands() {
            let name = command.rsplit('-').next().unwrap_or_default();
            assert!(told.contains(name), "{shell}: {command} is missing");
        }
        if shell == "bash" {
            let file = dir.path().join("quoteguard.bash");
            fs::write(&file, told).expect("written");
            run(Command::new("bash").arg("-n").arg(&file));
            // As a shell asks it: what follows `rules e`.
            let ask = "source \"$0\"; COMP_WORDS=(quoteguard rules e); COMP_CWORD=2; _quoteguard quoteguard e rules; \
                       printf '%s\\n' \"${COMPREPLY[@]}\"";
            let replied = text(&run(Command::new("bash").args(["-c", ask]).arg(&file)).stdout);
            assert_eq!(replied.lines().collect::<Vec<_>>(), ["explain"], "{replied}");
        }
    }
}

#[test]
fn every_command_has_a_man_page() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    run(Command::new(BINARY).arg("man").arg(dir.path().join("man1")));
    let pages: BTreeSet<String> = fs::read_dir(dir.path().join("man1"))
        .expect("made")
        .map(|page| page.expect("read").file_name().to_string_lossy().into_owned())
        .collect();
    let mut expected: BTreeSet<String> = all_commands().iter().map(|command| format!("quoteguard-{command}.1")).collect();
    expected.insert("quoteguard.1".to_owned());
    assert_eq!(pages, expected);
    for page in &pages {
        let source = fs::read_to_string(dir.path().join("man1").join(page)).expect("text");
        for part in [".TH", ".SH NAME", ".SH SYNOPSIS"] {
            assert!(source.contains(part), "{page} has no {part}");
        }
    }
    // Where there is a formatter it has nothing to say.
    if let Ok(done) = Command::new("groff").args(["-man", "-Tutf8", "-ww"]).arg(dir.path().join("man1/quoteguard.1")).output() {
        assert!(done.status.success() && done.stderr.is_empty(), "{}", text(&done.stderr));
    }
}

fn pack(out: &Path) -> String {
    let mut script = Command::new("scripts/dist.sh");
    run(script.current_dir(ROOT).args(["pack", BINARY]).arg(out).env("SOURCE_DATE_EPOCH", "1790000000"));
    let packed = fs::read_dir(out).expect("made").filter_map(|file| file.ok()?.file_name().into_string().ok());
    packed.filter(|name| name.ends_with(".tar.gz")).collect::<String>()
}

/// One component with each required field, and every reference meant.
fn assert_sbom(sbom: &Value) {
    assert_eq!((&sbom["bomFormat"], &sbom["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    assert_eq!(sbom["version"], 1);
    assert!(sbom["serialNumber"].as_str().is_some_and(|serial| serial.starts_with("urn:uuid:") && serial.len() == 45));
    assert_eq!(sbom["metadata"]["timestamp"], "2026-09-21T14:13:20Z");
    let main = &sbom["metadata"]["component"];
    assert_eq!((&main["type"], &main["name"]), (&"application".into(), &"quoteguard".into()));
    assert_eq!(main["version"], env!("CARGO_PKG_VERSION"));
    let components = sbom["components"].as_array().expect("a list");
    let mut known = BTreeSet::from([main["bom-ref"].as_str().expect("text")]);
    for part in components {
        let texts = ["type", "bom-ref", "name", "version", "purl"].map(|field| part[field].as_str().unwrap_or_default());
        assert!(texts.iter().all(|text| !text.is_empty()) && texts[4].starts_with("pkg:"), "{part}");
        assert!(part["licenses"].as_array().is_some_and(|licences| licences.len() == 1), "{part}");
        assert!(known.insert(texts[1]), "twice: {part}");
    }
    for name in ["axum", "sqlx", "rdkafka-sys", "libsqlite3-sys"] {
        assert!(components.iter().any(|part| part["name"] == name), "{name} is missing");
    }
    for name in ["proptest", "tempfile", "loadtest", "syn"] {
        assert!(!components.iter().any(|part| part["name"] == name), "{name} is no part of the binary");
    }
    let dependencies = sbom["dependencies"].as_array().expect("a list");
    assert_eq!(dependencies.len(), known.len());
    for dependency in dependencies {
        let on = dependency["dependsOn"].as_array().expect("a list").iter().chain([&dependency["ref"]]);
        on.for_each(|reference| assert!(known.contains(reference.as_str().expect("text")), "{reference}"));
    }
}

#[cfg(feature = "kafka-tls")]
#[test]
fn the_archive_is_whole_and_the_same_bytes_twice() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    let name = pack(&first);
    assert_eq!(pack(&second), name);
    let archive = fs::read(first.join(&name)).expect("there");
    assert!(archive == fs::read(second.join(&name)).expect("there"), "packed twice, they differ");
    run(Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&first));

    let folder = name.strip_suffix(".tar.gz").expect("its name");
    let file = dir.path().join("archive.tar");
    std::io::copy(&mut GzDecoder::new(archive.as_slice()), &mut fs::File::create(&file).expect("made")).expect("unpacked");
    let list = text(&run(Command::new("tar").args(["--numeric-owner", "--utc", "-tvf"]).arg(&file)).stdout);
    assert!(list.lines().all(|line| line.contains(" 0/0 ") && line.contains(" 2026-09-21 ")), "{list}");
    run(Command::new("tar").arg("-xf").arg(&file).arg("-C").arg(dir.path()));
    let root = dir.path().join(folder);
    run(Command::new("sha256sum").args(["--check", "--strict", "--quiet", "SHA256SUMS"]).current_dir(&root));
    for file in ["LICENSE", "README.md", "CHANGELOG.md", "THIRD-PARTY-LICENCES.txt", "man/man1/quoteguard.1"] {
        assert!(fs::metadata(root.join(file)).is_ok_and(|found| found.len() > 0), "{file}");
    }
    assert_eq!(fs::read_dir(root.join("completions")).expect("there").count(), 5);
    let sbom = fs::read(root.join("quoteguard.cdx.json")).expect("there");
    assert_sbom(&serde_json::from_slice(&sbom).expect("JSON"));

    // What was unpacked runs, takes the example as its configuration and the shipped rules.
    let binary = root.join("bin/quoteguard");
    let version = text(&run(Command::new(&binary).arg("--version")).stdout);
    assert!(version.starts_with(concat!("quoteguard ", env!("CARGO_PKG_VERSION"), " (commit ")), "{version}");
    run(Command::new(&binary).args(["config", "check", "--config", "quoteguard.example.toml"]).current_dir(&root));
    run(Command::new(&binary).args(["rules", "check", "rules"]).current_dir(&root));
}
