"""`make release`: what it builds, that it says the same twice, and that nobody can slip it past the signature."""

import hashlib
import json
import re
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SIGNER = "releases@example.com"
# Whatever git is told of whoever runs this: no signatures that ask for a password, no hooks.
SETTINGS = (
    "user.name=Nobody",
    "user.email=nobody@example.com",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "core.hooksPath=/dev/null",
)
GIT = ("git", *(part for setting in SETTINGS for part in ("-c", setting)))


def call(*command: object, cwd: Path, given: bytes | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        input=given.decode() if given is not None else None,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository, so that tags set here do not reach it."""
    if not (ROOT / ".venv-release/bin/python").exists():
        pytest.skip("the environment for releases is missing: make .venv-release/.ready")
    if not (ROOT / ".git").exists():
        pytest.skip("this is not a clone, so there is no commit to release")
    clone = tmp_path_factory.mktemp("release") / "clone"
    done = call("git", "clone", "-q", "--no-tags", ROOT, clone, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (clone / ".venv-release").symlink_to(ROOT / ".venv-release")
    (clone / "scripts/release").write_bytes((ROOT / "scripts/release").read_bytes())
    return clone


@pytest.fixture(scope="module")
def released(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tagged release, with a section of the changelog committed for it."""
    changelog = clone / "CHANGELOG.md"
    grown = "\n## 0.0.1 - 2020-01-01\n" + "- A line of a year long gone.\n" * 20_000
    changelog.write_text(changelog.read_text().replace("## Unreleased", "## 9.8.7 - 2026-12-01") + grown)
    for command in (
        (*GIT, "commit", "-qam", "Release 9.8.7"),
        (*GIT, "tag", "-a", "v9.8.7", "-m", "Trimtab 9.8.7"),
    ):
        done = call(*command, cwd=clone)
        assert done.returncode == 0, done.stderr
    out = tmp_path_factory.mktemp("dist")
    done = call("scripts/release", "--out", out, cwd=clone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "both are equal" in done.stdout
    assert "Warning" not in done.stderr, "nobody would see one that matters among them"
    return out


def test_a_release_has_wheel_source_sbom_and_sums_of_the_version_that_the_tag_names(released: Path) -> None:
    names = {file.name for file in released.iterdir()}
    assert names == {
        "trimtab-9.8.7-py3-none-any.whl",
        "trimtab-9.8.7.tar.gz",
        "trimtab-9.8.7.cdx.json",
        "SHA256SUMS",
    }


def test_the_sums_are_those_of_the_files(released: Path) -> None:
    lines = (released / "SHA256SUMS").read_text().splitlines()
    told = {line.split()[1]: line.split()[0] for line in lines}
    assert told == {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in released.iterdir()
        if file.name != "SHA256SUMS"
    }


def test_the_sbom_names_everything_that_the_lock_pins_with_its_hashes(released: Path) -> None:
    bom = json.loads((released / "trimtab-9.8.7.cdx.json").read_text())
    lock = (ROOT / "requirements/runtime.txt").read_text()
    pinned = dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", lock, re.MULTILINE))
    assert {part["name"]: part["version"] for part in bom["components"]} == pinned
    hashes = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", lock))
    held = {
        each["content"]
        for part in bom["components"]
        for reference in part["externalReferences"]
        for each in reference["hashes"]
    }
    assert held == hashes
    assert bom["metadata"]["component"]["version"] == "9.8.7"


def test_the_sbom_says_what_trimtab_itself_needs(released: Path) -> None:
    bom = json.loads((released / "trimtab-9.8.7.cdx.json").read_text())
    names = {part["bom-ref"]: part["name"] for part in bom["components"]}
    (needs,) = (one["dependsOn"] for one in bom["dependencies"] if one["ref"] == "root-component")
    direct = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {names[ref] for ref in needs} == {
        re.split(r"[<>=~!]", line)[0].lower().replace("_", "-") for line in direct
    }


def test_the_wheel_knows_its_version(released: Path) -> None:
    with zipfile.ZipFile(released / "trimtab-9.8.7-py3-none-any.whl") as wheel:
        assert b'__version__ = "9.8.7"' in wheel.read("trimtab/_version.py")


def test_a_signed_release_verifies_and_a_changed_one_does_not(released: Path, tmp_path: Path) -> None:
    """The commands of docs/releasing.md, with a key made for the test."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is missing, by which releases are signed")
    for file in released.iterdir():
        shutil.copy(file, tmp_path)
    key = tmp_path / "release_key"
    assert call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key, cwd=tmp_path).returncode == 0
    (tmp_path / "allowed_signers").write_text(f"{SIGNER} {(tmp_path / 'release_key.pub').read_text()}")
    sign = ("ssh-keygen", "-Y", "sign", "-n", "trimtab-release", "-f", key, "SHA256SUMS")
    assert call(*sign, cwd=tmp_path).returncode == 0
    verify = ("ssh-keygen", "-Y", "verify", "-f", "allowed_signers", "-I", SIGNER)
    verify += ("-n", "trimtab-release", "-s", "SHA256SUMS.sig")
    sums = (tmp_path / "SHA256SUMS").read_bytes()
    assert call(*verify, cwd=tmp_path, given=sums).returncode == 0
    assert call(*verify, cwd=tmp_path, given=sums.replace(b"a", b"b", 1)).returncode != 0
    assert call("sha256sum", "--check", "SHA256SUMS", cwd=tmp_path).returncode == 0
    (tmp_path / "trimtab-9.8.7.tar.gz").write_bytes(b"something else")
    assert call("sha256sum", "--check", "SHA256SUMS", cwd=tmp_path).returncode != 0


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        (None, "HEAD has no version tag"),
        ("v9.9", "is not a version like v1.2.3"),
        ("v9.9.9", "CHANGELOG.md has no section '## 9.9.9'"),
    ],
)
def test_what_is_not_a_release_is_refused_with_what_to_do(clone: Path, tag: str | None, said: str) -> None:
    assert call(*GIT, "commit", "-q", "--allow-empty", "-m", "One more", cwd=clone).returncode == 0
    if tag is not None:
        assert call("git", "tag", tag, cwd=clone).returncode == 0
    done = call("scripts/release", cwd=clone)
    assert done.returncode == 1
    assert said in done.stderr
