"""A key in constant use is revoked, and a new one is used at once: how long until every worker knows."""

import contextlib
import http.client
import json
import subprocess
import time
from pathlib import Path

from drive import TRIMTAB, Key, Platform, Site
from findings import Findings
from load import Caller, Load

FRESH_CONNECTIONS = 24
"""Over 4 workers that take connections from one socket: each gets some."""


def revoke_in_use(folder: Path, store_url: str, *, rounds: int, workers: int = 4) -> Findings:
    """Make a key, use it on fresh connections at once, keep using it, revoke it; so many times."""
    platform = Platform(folder)
    site = Site(folder, platform, store_url, workers).start()
    last: list[float] = []
    first: list[float] = []
    asked_twice = 0
    wrong: set[str] = set()
    try:
        for n in range(rounds):
            key = site.key(f"k{n}")
            made = time.monotonic()
            for _ in range(FRESH_CONNECTIONS):
                statuses = _until_known(site, key)
                asked_twice += len(statuses) - 1
                wrong |= {f"new key, {status}" for status in statuses if status not in (200, 503)}
            first.append(time.monotonic() - made)
            with Load(site.port, [Caller("used", key, 16, lambda: 1)]) as load:
                time.sleep(0.5)
                revoked = _revoke(site, key)
                time.sleep(2.5)
            last.append(max(answer.began for answer in load.answers if answer.status == 200) - revoked)
            wrong |= {f"{a.status} {a.text}" for a in load.answers if a.status not in (200, 401)}
            wrong |= {
                "401 before the key was revoked"
                for a in load.answers
                if a.status == 401 and a.ended < revoked
            }
            if any(answer.status == 401 for answer in load.answers) is False:
                wrong.add("never refused")
        status = site.stop()
        findings = Findings(
            f"{rounds} keys made and revoked, {workers} workers, {store_url.partition(':')[0]}"
        )
        last.sort()
        findings.note("last success after the revocation, s: median", last[len(last) // 2])
        findings.check("last success after the revocation, s: worst", last[-1] <= 2, last[-1])
        findings.note(f"{FRESH_CONNECTIONS} fresh connections with a new key, s: worst", max(first))
        findings.note("of these told to try again at once (503)", asked_twice)
        findings.none("other answers", wrong)
        findings.check("exit status after the stop", status == 0, status)
        findings.check("tracebacks in the logs", not site.tracebacks(), len(site.tracebacks()))
        return findings
    finally:
        site.destroy()
        platform.close()


def _until_known(site: Site, key: Key) -> list[int]:
    """Statuses of one connection until it got an answer; a server under pressure may ask for a moment."""
    statuses: list[int] = []
    caller = Caller("new", key)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)) as connection:
        while len(statuses) < 20 and (not statuses or statuses[-1] == 503):
            headers = {
                "anthropic-version": "2023-06-01",
                "x-api-key": key.secret,
                "x-chaos": f"n{len(statuses)} new 1",
            }
            connection.request("POST", "/v1/messages", caller.body, headers)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
    return statuses


def _revoke(site: Site, key: Key) -> float:
    """End a key, as an operator does; when that was, by the monotonic clock."""
    done = subprocess.run(
        [*TRIMTAB, "keys", "revoke", key.id, "--json", "--config", str(site.config)],
        env=site.environment,
        cwd=site.folder,
        stdout=subprocess.PIPE,
        check=True,
    )
    revoked_ms: int = json.loads(done.stdout)["revoked_ms"]
    return revoked_ms / 1000 - (time.time() - time.monotonic())
