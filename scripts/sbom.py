"""The parts of the release binary: an SBOM (CycloneDX 1.5, JSON) and the texts of their licences, from `cargo metadata`.

What only builds or tests is no part. Of C libraries inside of a crate the crate is the part; OpenSSL comes from the system.
"""

import argparse
import hashlib
import json
import re
import subprocess
import tomllib
import uuid
from datetime import datetime, timezone
from pathlib import Path

TEXTS = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
# C sources that crates carry below themselves.
FOLDERS = ("", "librdkafka", "zstd", "sqlite3", "c_src", "c_src/mimalloc", "c_src/mimalloc/v3", "src/zlib")


def metadata(target: str) -> dict:
    command = ["cargo", "metadata", "--format-version=1", "--locked", f"--filter-platform={target}"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def built(target: str) -> set[tuple[str, str]]:
    """Name and version of what is in the binary: `cargo metadata` also lists what only tests or features that are off would bring."""
    command = ["cargo", "tree", "--locked", "--package=quoteguard", "--edges=normal,no-proc-macro", f"--target={target}"]
    command += ["--prefix=none", "--format={p}"]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return {(line.split(" ")[0], line.split(" ")[1].removeprefix("v")) for line in lines if line}


def linked(data: dict, among: set[tuple[str, str]]) -> tuple[str, dict[str, list[str]]]:
    """The root's id, and of every package in the binary those that it needs."""
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    packages = {package["id"]: package for package in data["packages"]}
    root = next(i for i, package in packages.items() if package["name"] == "quoteguard")
    found: dict[str, list[str]] = {}
    waiting = [root]
    while waiting:
        at = waiting.pop()
        if at in found:
            continue
        needs = [
            dep["pkg"]
            for dep in nodes[at]["deps"]
            if any(kind["kind"] is None for kind in dep["dep_kinds"])
            and (packages[dep["pkg"]]["name"], packages[dep["pkg"]]["version"]) in among
        ]
        found[at] = sorted(set(needs))
        waiting.extend(needs)
    return root, found


def purl(package: dict) -> str:
    return f"pkg:cargo/{package['name']}@{package['version'].replace('+', '%2B')}"


def component(package: dict, checksums: dict) -> dict:
    part = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "scope": "required",
        "licenses": [{"expression": package["license"].replace("/", " OR ")}] if package["license"] else [],
        "purl": purl(package),
    }
    checksum = checksums.get((package["name"], package["version"]))
    if checksum:
        part["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package.get("repository"):
        part["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return part


def openssl() -> dict | None:
    asked = subprocess.run(["pkg-config", "--modversion", "openssl"], capture_output=True, text=True, check=False)
    version = asked.stdout.strip()
    if not version:
        return None
    reference = f"pkg:generic/openssl@{version}"
    licence = [{"license": {"id": "Apache-2.0"}}]
    return {"type": "library", "bom-ref": reference, "name": "openssl", "version": version, "licenses": licence, "purl": reference}


def bom(version: str, epoch: int, root: dict, parts: list[dict], needs: dict[str, list[str]]) -> dict:
    main = {
        "type": "application",
        "bom-ref": purl(root),
        "name": root["name"],
        "version": version,
        "licenses": [{"expression": root["license"]}],
        "purl": purl(root),
    }
    # Of the contents, so that the same parts give the same number.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([main, parts], sort_keys=True))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": main,
        },
        "components": parts,
        "dependencies": [{"ref": ref, "dependsOn": on} for ref, on in sorted(needs.items())],
    }


def licences(packages: list[dict]) -> str:
    """Who is licensed how, then every text once, with those whose it is."""
    lines = ["quoteguard contains these libraries, each under its own licence.", ""]
    texts: dict[str, tuple[str, list[str]]] = {}
    for package in packages:
        name = f"{package['name']} {package['version']}"
        lines.append(f"{name}: {package['license'] or 'see its text'}")
        folder = Path(package["manifest_path"]).parent
        files = [file for below in FOLDERS if (folder / below).is_dir() for file in (folder / below).iterdir()]
        for file in sorted(file for file in files if file.is_file() and TEXTS.match(file.name)):
            text = file.read_text(encoding="utf-8", errors="replace").strip().replace("\r\n", "\n")
            key = hashlib.sha256(" ".join(text.split()).encode()).hexdigest()
            owners = texts.setdefault(key, (text, []))[1]
            if name not in owners:
                owners.append(name)
    lines.append("openssl (the system's, where TLS to Kafka is built in): Apache-2.0")
    for text, owners in sorted(texts.values(), key=lambda found: found[1]):
        lines += ["", "=" * 78, *owners, "-" * 78, text]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("version", "target"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--epoch", type=int, required=True)
    parser.add_argument("--sbom", type=Path, required=True)
    parser.add_argument("--licences", type=Path, required=True)
    args = parser.parse_args()

    data = metadata(args.target)
    packages = {package["id"]: package for package in data["packages"]}
    root, found = linked(data, built(args.target))
    lock = tomllib.loads(Path("Cargo.lock").read_text(encoding="utf-8"))
    checksums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
    others = sorted((packages[i] for i in found if i != root), key=lambda p: (p["name"], p["version"]))
    parts = [component(package, checksums) for package in others]
    needs = {purl(packages[i]): sorted(purl(packages[on]) for on in deps) for i, deps in found.items()}
    system = openssl() if any(package["name"] == "openssl-sys" for package in others) else None
    if system:
        parts.append(system)
        needs[system["bom-ref"]] = []
        needs[next(purl(p) for p in others if p["name"] == "openssl-sys")].append(system["bom-ref"])
    text = json.dumps(bom(args.version, args.epoch, packages[root], parts, needs), indent=1, ensure_ascii=False)
    args.sbom.write_text(text + "\n", encoding="utf-8")
    args.licences.write_text(licences(others), encoding="utf-8")


main()
