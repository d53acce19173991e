"""A server in front of platforms that fail: their processes, certificates, configuration and books.

What it is not: a judge (`platforms_judging`), or a load (`platforms_load`).
"""

import datetime
import ipaddress
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from drive import Key, Site, opened
from platforms_framing import Framing
from platforms_upstream import OK, Fault

from trimtab.admin import Actor, NewKey
from trimtab.app import opened_key_door
from trimtab.records import Limits
from trimtab.store import Transaction

HERE = Path(__file__).resolve().parent
UPSTREAM = HERE / "platforms_upstream.py"
SUPPORT = HERE.parent / "support"


@dataclass(frozen=True)
class Entry:
    """One platform entry of the configuration."""

    framing: Framing
    tls: bool = False
    keys: int = 1
    """How many there are in the pool of keys `sk-1`, `sk-2` ..."""


THREE: Mapping[str, Entry] = {
    "claude": Entry("anthropic", tls=True),
    "aws": Entry("bedrock"),
    "google": Entry("vertex"),
}
"""Three vendors, the first behind TLS."""

POOL: Mapping[str, Entry] = {"claude": Entry("anthropic", tls=True, keys=3)}
"""One vendor, and three keys."""

COST_NANOUSD = {"claude": 180_000, "aws": 198_000, "google": 180_000}
"""Of a whole answer: 20 tokens in at $3 and 8 out at $15 a million; a tenth more in a region of Amazon's, Google's
`global` has no such premium."""

KINDS = {
    "anthropic": 'kind = "anthropic"\nbase_url = "{url}"\napi_key = "file:{secret}"\n',
    "bedrock": 'kind = "bedrock"\nregion = "eu-west-1"\nbase_url = "{url}"\napi_key = "file:{secret}"\n',
    "vertex": 'kind = "vertex"\nregion = "global"\nproject = "p-1"\nbase_url = "{url}"\naccess_token = "file:{secret}"\n',
}

DEADLINES = {"connect_s": 1.0, "header_s": 1.0, "first_event_s": 1.0, "idle_s": 1.0}


@dataclass(frozen=True)
class Arrival:
    """A request that reached a platform, as that platform wrote it down."""

    platform: str
    name: str
    attempt: str
    at: float
    ended: float
    how: str
    """`open` while it has not ended."""
    events: int
    """Of a stream, that went out."""
    billed: bool
    """A head with status 200 went out."""


class Platforms:
    """`platforms_upstream.py` in a process that this one ends."""

    def __init__(self, folder: Path, entries: Mapping[str, Entry]) -> None:
        self.log = folder / "platforms.log"
        self.log.touch()
        self.entries = entries
        self.ca_file = folder / "ca.pem"
        certificates = None
        if any(entry.tls for entry in entries.values()):
            certificates = [str(certificate(folder / "good", self.ca_file)), str(certificate(folder / "bad"))]
        spec = {
            name: {"framing": entry.framing, "certificates": certificates if entry.tls else None}
            for name, entry in entries.items()
        }
        self._process = subprocess.Popen(
            [sys.executable, str(UPSTREAM), str(self.log), json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")]),
            },
        )
        assert self._process.stdout is not None
        self.ports: dict[str, int] = json.loads(self._process.stdout.readline())

    def url(self, name: str) -> str:
        return f"http{'s' if self.entries[name].tls else ''}://127.0.0.1:{self.ports[name]}"

    def set(self, **faults: Fault) -> None:
        """These platforms do this from now on."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        said = {name: asdict(fault) for name, fault in faults.items()}
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def heal(self) -> None:
        """All of them answer."""
        self.set(**dict.fromkeys(self.entries, OK))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def arrivals(self) -> list[Arrival]:
        """All requests that came so far, in their order."""
        came: dict[str, tuple[str, str, float]] = {}
        ended: dict[str, tuple[float, str, int, bool]] = {}
        for line in self.log.read_text().splitlines():
            sign, platform, name, attempt, at, *rest = line.split(" ")
            if sign == "+":
                came[attempt] = (platform, name, float(at))
            else:
                ended[attempt] = (float(at), rest[0], int(rest[1]), rest[2] == "1")
        never = (float("inf"), "open", 0, False)
        return [
            Arrival(platform, name, attempt, at, *ended.get(attempt, never))
            for attempt, (platform, name, at) in came.items()
        ]


def certificate(path: Path, ca_file: Path | None = None) -> Path:
    """A certificate for 127.0.0.1 with its key, by an authority of its own, whose certificate goes to `ca_file`."""
    now = datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
        for text in ("chaos authority", "127.0.0.1")
    ]
    made = []
    for n, (name, key) in enumerate(zip(names, keys, strict=True)):
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(names[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=n == 0, path_length=None), critical=True)
        )
        if n == 1:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        made.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    if ca_file is not None:
        ca_file.write_bytes(made[0])
    private = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made[1] + private)
    return path


class FailingSite(Site):
    """A server whose platforms are `Platforms`."""

    def __init__(
        self,
        folder: Path,
        platforms: Platforms,
        store_url: str,
        workers: int,
        *,
        deadlines: Mapping[str, float] = DEADLINES,
        options: str = "",
    ) -> None:
        self.platforms = platforms
        self.deadlines = deadlines
        super().__init__(folder, None, store_url, workers, "batch_ms = 20\n", options=options)

    def sections(self, secret: Path) -> str:
        sections = []
        for name, entry in self.platforms.entries.items():
            lines = KINDS[entry.framing].format(url=self.platforms.url(name), secret=secret)
            if entry.keys > 1:
                files = [secret.with_name(f"key-{n}") for n in range(1, entry.keys + 1)]
                for n, file in enumerate(files, 1):
                    file.write_text(f"sk-{n}")
                pool = ", ".join(f'"file:{file}"' for file in files)
                lines = lines.replace(f'api_key = "file:{secret}"', f"api_keys = [{pool}]")
            lines += "".join(f"{key} = {value}\n" for key, value in self.deadlines.items())
            if entry.tls:
                lines += f'ca_file = "{self.platforms.ca_file}"\n'
            sections.append(f"[platforms.{name}]\n{lines}")
        return "".join(sections)

    def key_for(self, name: str, *platforms: str, usd: float | None = None) -> Key:
        """A new key, which may use these platforms only, if any are named."""
        limits = Limits(total_nanousd=None if usd is None else round(usd * 1e9))
        with opened_key_door(self.config, create=True) as door:
            made = door.admin.add(
                Actor("chaos"), NewKey(name=name, limits=limits, platforms=platforms or None)
            )
        return Key(name, made.key.id, made.secret.reveal())


def details(site: Site) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Every record, whole, and what each key has spent, nano-dollars."""

    def work(tx: Transaction) -> tuple[list[dict[str, Any]], dict[str, int]]:
        records = [
            json.loads(str(row[0])) for row in tx.rows("SELECT detail FROM requests ORDER BY at_ms, id")
        ]
        spent: dict[str, int] = defaultdict(int)
        for key, nanousd in tx.rows("SELECT key_id, spent_nanousd FROM key_spend WHERE simulated = 0"):
            spent[str(key)] += int(nanousd)
        return records, dict(spent)

    with opened(site) as database:
        return database.read(work)
