"""The models endpoints page as the vendor's do."""

from typing import Any


def get(client: Any, query: bytes = b"", path: str = "/v1/models") -> Any:
    return client.raw("GET", path, query=query)


def test_the_list_holds_live_models_newest_first(client: Any) -> None:
    page = get(client, b"limit=1000").json
    ids = [model["id"] for model in page["data"]]
    assert "claude-sonnet-4-6" in ids
    assert "claude-3-5-sonnet-20241022" not in ids, "retired"
    created = [model["created_at"] for model in page["data"]]
    assert created == sorted(created, reverse=True)
    assert (page["has_more"], page["first_id"], page["last_id"]) == (False, ids[0], ids[-1])
    assert page["data"][0]["capabilities"]


def test_pages_join_to_the_whole_both_ways(client: Any) -> None:
    ids = [model["id"] for model in get(client, b"limit=1000").json["data"]]
    forward: list[str] = []
    cursor = ""
    while True:
        page = get(client, f"limit=4&after_id={cursor}".encode() if cursor else b"limit=4").json
        forward += [model["id"] for model in page["data"]]
        cursor = page["last_id"]
        if not page["has_more"]:
            break
    assert forward == ids
    page = get(client, f"limit=4&before_id={ids[6]}".encode()).json
    assert [model["id"] for model in page["data"]] == ids[2:6]
    assert page["has_more"]


def test_one_model_by_id_or_alias(client: Any) -> None:
    model = get(client, path="/v1/models/claude-haiku-4-5").json
    assert (model["id"], model["type"]) == ("claude-haiku-4-5-20251001", "model")
    assert get(client, path="/v1/models/claude-3-5-haiku-20241022").json["lifecycle"] == "retired"
    assert get(client, path="/v1/models/nope").error == "not_found_error: model: nope"


def test_bad_pages_are_400(client: Any) -> None:
    for query in (
        b"limit=0",
        b"limit=1001",
        b"limit=x",
        b"after_id=nope",
        b"after_id=a&before_id=b",
        b"\xff",
    ):
        answer = get(client, query)
        assert answer.status == 400, query
        assert answer.json["error"]["type"] == "invalid_request_error"
    assert client.raw("POST", "/v1/models").status == 405
