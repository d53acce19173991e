"""`trimtab parity`: a client of a running gateway, wherever it runs, and the check that uses it."""

import secrets

from trimtab.app.process import run_loop
from trimtab.config import Secret
from trimtab.errors import EvalError
from trimtab.evals import Gateway
from trimtab.evals.parity import Asked, Report, check_parity
from trimtab.evals.parity.running import Told
from trimtab.providers.http import Deadlines, HttpClient, Target, proxy_from_environment, tls_context


def compare_platforms(asked: Asked, url: str, key: str | None, told: Told) -> Report:
    """Have a gateway answer the cases on both entries. Blocks; spends money there.

    `key` is a reference, as in the configuration. Raises `EvalError`.
    """
    try:
        target = Target.parse(url)
        tls = tls_context(None) if target.scheme == "https" else None
        proxy = proxy_from_environment(target)
    except (ValueError, OSError) as problem:
        raise EvalError(f"--url: {problem}") from None
    try:
        secret = Secret.resolve(key).reveal() if key is not None else None
    except ValueError as problem:
        raise EvalError(f"--key: {problem}") from None

    async def check() -> Report:
        client = HttpClient(target, Deadlines(), tls=tls, proxy=proxy)
        try:
            return await check_parity(Gateway(client, secret), asked, run=secrets.token_hex(4), told=told)
        finally:
            await client.aclose()

    return run_loop(check())
