"""Requests out of files: bodies, lines, lists, batches, folders, and what is no request."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import ConfigError
from trimtab.migration import Request, Spoken, Unreadable, read_requests
from trimtab.migration.reading import MAX_REQUESTS

SPOKEN = Spoken("claude-opus-4-6")
BODY = {"model": "claude-opus-4-6", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


def read(*paths: Path) -> tuple[list[Request], list[Unreadable]]:
    return read_requests(list(paths), SPOKEN)


def file(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (BODY, [""]),
        ([BODY, BODY], ["[0]", "[1]"]),
        (json.dumps(BODY) + "\n\n" + json.dumps(BODY) + "\n", [":1", ":3"]),
        ({"requests": [{"custom_id": "a", "params": BODY}, {"custom_id": "b", "params": BODY}]}, ["[0]#a", "[1]#b"]),
        (json.dumps({"custom_id": "a", "params": BODY}) + "\n" + json.dumps({"request": BODY}), [":1#a", ":2"]),
    ],
    ids=["a body", "a list", "lines", "a batch", "lines of a batch"],
)  # fmt: skip
def test_each_form_is_read_and_each_request_is_named_by_file_and_place(
    tmp_path: Path, content: object, names: list[str]
) -> None:
    path = file(tmp_path, "r.json", content)
    found, bad = read(path)
    assert bad == []
    assert [request.name.removeprefix(str(path)) for request in found] == names
    assert all(json.loads(request.body.raw) == BODY for request in found)


def test_headers_and_usage_may_stand_beside_a_body_and_keys_are_not_taken_along(tmp_path: Path) -> None:
    entry = {
        "headers": {"Anthropic-Version": "2026-10-21", "anthropic-beta": "a,b", "x-api-key": "sk-secret"},
        "body": BODY,
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }
    [request], _ = read(file(tmp_path, "r.json", entry))
    assert request.headers == [(b"anthropic-version", b"2026-10-21"), (b"anthropic-beta", b"a,b")]
    assert request.usage is not None
    assert request.usage.output_tokens == 5
    [plain], _ = read_requests([file(tmp_path, "p.json", BODY)], Spoken("m", "2026-10-21", ("x",)))
    assert plain.headers == [(b"anthropic-version", b"2026-10-21"), (b"anthropic-beta", b"x")]


def test_a_body_without_a_model_gets_that_which_it_comes_from(tmp_path: Path) -> None:
    [request], _ = read(file(tmp_path, "r.json", {key: BODY[key] for key in BODY if key != "model"}))
    assert json.loads(request.body.raw) == BODY


def test_a_folder_is_read_whole_and_in_order_and_other_files_in_it_are_not(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    file(tmp_path, "b.json", BODY)
    file(tmp_path / "deep", "a.jsonl", json.dumps(BODY))
    file(tmp_path, "notes.txt", "no request")
    found, _ = read(tmp_path)
    assert [Path(request.name).name for request in found] == ["b.json", "a.jsonl"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"holds no \.json or \.jsonl file"):
        read(tmp_path / "empty")


def test_what_is_no_request_is_told_with_its_place_and_the_rest_is_read(tmp_path: Path) -> None:
    path = file(tmp_path, "r.jsonl", json.dumps(BODY) + '\n{"model": 1}\nnonsense\n' + json.dumps(BODY))
    found, bad = read(path)
    assert [request.name for request in found] == [f"{path}:1", f"{path}:4"]
    assert [one.name for one in bad] == [f"{path}:2", f"{path}:3"]
    assert "model: Input should be a valid string" in bad[0].problem
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read(tmp_path / "absent.json")


@pytest.mark.parametrize("around", [lambda entries: entries, lambda entries: {"requests": entries}])
def test_an_entry_that_is_no_request_takes_none_of_its_list_with_it(
    tmp_path: Path, around: Callable[[list[object]], object]
) -> None:
    path = file(tmp_path, "l.json", around([BODY, {"max_tokens": -1, "messages": []}, [7], BODY]))
    found, bad = read(path)
    assert [one.name for one in found] == [f"{path}[0]", f"{path}[3]"]
    assert [one.name for one in bad] == [f"{path}[1]", f"{path}[2][0]"]


def test_a_list_has_no_more_requests_than_files_may_have(tmp_path: Path) -> None:
    path = file(tmp_path, "l.json", "[" + "{}," * MAX_REQUESTS + "{}]")
    with pytest.raises(ConfigError, match="more than 10,000 requests"):
        read(path)


def test_what_never_ends_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.migration.reading.MAX_FILE_BYTES", 1 << 20)
    with pytest.raises(ConfigError, match="/dev/zero: is larger than 1 MB"):
        read(Path("/dev/zero"))


@given(st.binary(max_size=200) | st.text(max_size=80).map(str.encode))
def test_any_file_is_read_or_told(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    found, bad = read(path)
    assert found or bad or not content.strip() or content.strip() == b"[]"
