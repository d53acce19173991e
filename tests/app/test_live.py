"""`trimtab models --check` against a platform that sends what no platform should."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from trimtab.app.live import MAX_PAGE_BYTES, LiveModels, live_models
from trimtab.app.settings import load_settings
from trimtab.errors import UpstreamBroken, UpstreamError


class Platform:
    """Sends ready answers, one a connection, and keeps the request heads."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.answers: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def will_say(self, body: bytes, status: int = 200) -> None:
        head = b"HTTP/1.1 %d X\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
        self.answers.append(head + body)

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer:
                head = b""
                while not head.endswith(b"\r\n\r\n") and (data := peer.recv(65536)):
                    head += data
                self.heads.append(head)
                try:
                    peer.sendall(self.answers.pop(0))
                except OSError:
                    pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(60)


@pytest.fixture
def platform() -> Iterator[Platform]:
    platform = Platform()
    yield platform
    platform.close()


def ask(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LiveModels:
    monkeypatch.setenv("TEST_KEY", "k")
    file = tmp_path / "trimtab.toml"
    file.write_text(
        'version = 1\n[platforms.claude]\nkind = "anthropic"\napi_key = "env:TEST_KEY"\n'
        f'base_url = "http://127.0.0.1:{platform.port}"\n'
    )
    return live_models(load_settings(file))


def test_a_cursor_from_the_platform_cannot_write_our_next_request(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = rb"a HTTP/1.1\r\nx-evil: 1\r\n\r\n&limit=1/\u00e9"
    platform.will_say(b'{"data": [{"id": "one"}], "has_more": true, "last_id": "' + cursor + b'"}')
    platform.will_say(b'{"data": [{"id": "two"}]}')
    assert ask(platform, tmp_path, monkeypatch).models == [{"id": "one"}, {"id": "two"}]
    assert platform.heads[1].split(b"\r\n")[0] == (
        b"GET /v1/models?limit=1000&after_id=a%20HTTP%2F1.1%0D%0Ax-evil%3A%201%0D%0A%0D%0A%26limit%3D1%2F%C3%A9 HTTP/1.1"
    )


@pytest.mark.parametrize(
    "body",
    [b'{"data": [{"id": "\xff"}]}', b'{"data": [{"a": ' + b"[" * 100_000, b"[]", b"", b"{"],
    ids=["not UTF-8", "too deep", "an array", "nothing", "cut"],
)
def test_a_list_that_cannot_be_read_is_the_platforms_fault(
    body: bytes, platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.will_say(body)
    with pytest.raises(UpstreamBroken, match="claude: the model list is not what it should be"):
        ask(platform, tmp_path, monkeypatch)


@pytest.mark.parametrize("status", [200, 500])
def test_an_endless_list_is_not_taken_into_memory(
    status: int, platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.will_say(b" " * (2 * MAX_PAGE_BYTES), status)
    with pytest.raises(UpstreamBroken, match="the model list has over 16777216 bytes"):
        ask(platform, tmp_path, monkeypatch)


def test_an_error_answer_is_one_line_that_steers_no_terminal(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.will_say(b"no\r\n\x1b[2Jsuch\x00key \xe2\x80\xae\xff", 401)
    with pytest.raises(UpstreamError) as problem:
        ask(platform, tmp_path, monkeypatch)
    assert str(problem.value) == "claude answered 401 to GET /v1/models: no   [2Jsuch key  \ufffd"
