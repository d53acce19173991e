"""Records of answered requests to write, without the calls: what the tests of commands that read records share."""

from trimtab.store import Database


def record(database: Database, name: str, at_ms: int, **changes: str | int) -> None:
    """One answered request of Opus 4.6: 100 fresh tokens, 900 from the cache, an answer of 200."""
    columns: dict[str, str | int | float] = {
        "id": name, "at_ms": at_ms, "purpose": "live", "surface": "messages", "endpoint": "messages",
        "requested_model": "claude-opus-4-6", "model": "claude-opus-4-6", "session": "s", "result": "ok", "status": 200,
        "stream": 0, "simulated": 0, "attempt_count": 1, "cost_nanousd": 1, "input_tokens": 100,
        "cache_write_5m_tokens": 0, "cache_write_1h_tokens": 0, "cache_read_tokens": 900, "output_tokens": 200,
        "thinking_tokens": 0, "total_ms": 1.0, "request_bytes": 1, "response_bytes": 1, "config_version": "c",
        "catalogue_version": "c", "detail": "{}", **changes,
    }  # fmt: skip
    statement = f"INSERT INTO requests ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    database.write(lambda transaction: transaction.change(statement, tuple(columns.values())))
