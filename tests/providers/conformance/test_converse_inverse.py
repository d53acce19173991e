"""What our provider says in Converse's words, the simulator reads as what the program asked: two halves that share no code."""

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from searches import examples
from simulated_platforms import MODEL

from trimtab.catalogue import Catalogue
from trimtab.messages import MessagesBody
from trimtab.providers.aws.converse_request import converse_body
from trimtab.providers.simulator.faces.converse_read import messages_request, read_request

Json = dict[str, Any]
TEXTS = st.text(min_size=1, max_size=8).filter(str.strip)
MARKS = st.sampled_from([None, {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
IDS = st.text("abcABC019_-", min_size=1, max_size=6)
INPUTS = st.dictionaries(
    st.text(max_size=4), st.none() | st.integers() | st.text(max_size=4) | st.lists(st.booleans()), max_size=3
)
DATA = st.sampled_from(["AAAA", "/+8=", "iVBORw0KGgo="])


def marked(blocks: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.tuples(blocks, MARKS).map(
        lambda both: both[0] | ({"cache_control": both[1]} if both[1] is not None else {})
    )


def block(kind: str, **members: Any) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({"type": st.just(kind), **members})


TEXT = block("text", text=TEXTS)
IMAGE = block(
    "image",
    source=st.fixed_dictionaries(
        {
            "type": st.just("base64"),
            "media_type": st.sampled_from(["image/png", "image/jpeg", "image/gif", "image/webp"]),
            "data": DATA,
        }
    ),
)
DOCUMENT = st.fixed_dictionaries(
    {
        "type": st.just("document"),
        "source": st.fixed_dictionaries(
            {"type": st.just("base64"), "media_type": st.just("application/pdf"), "data": DATA}
        )
        | st.fixed_dictionaries({"type": st.just("text"), "media_type": st.just("text/plain"), "data": TEXTS})
        | st.fixed_dictionaries(
            {"type": st.just("content"), "content": st.lists(TEXT, min_size=1, max_size=2)}
        ),
    },
    optional={"context": TEXTS},
)
FOUND = block("search_result", source=TEXTS, title=TEXTS, content=st.lists(TEXT, min_size=1, max_size=2))
RESULT = st.fixed_dictionaries(
    {"type": st.just("tool_result"), "tool_use_id": IDS},
    optional={
        "content": st.text(max_size=4) | st.lists(TEXT | IMAGE | DOCUMENT | FOUND, max_size=3),
        "is_error": st.booleans(),
    },
)
USERS = marked(TEXT | IMAGE | DOCUMENT | FOUND | RESULT)
ASSISTANTS = (
    marked(TEXT | block("tool_use", id=IDS, name=IDS, input=INPUTS))
    | block("thinking", thinking=st.text(max_size=5), signature=st.text(max_size=5))
    | block("redacted_thinking", data=DATA)
)
TURNS = st.fixed_dictionaries(
    {"role": st.just("user"), "content": TEXTS | st.lists(USERS, min_size=1, max_size=4)}
) | st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.lists(ASSISTANTS, min_size=1, max_size=4)}
)
TOOL = marked(
    st.fixed_dictionaries(
        {"name": IDS, "input_schema": INPUTS},
        optional={"description": TEXTS, "strict": st.booleans(), "type": st.just("custom")},
    )
)
BASH = {"type": "bash_20250124", "name": "bash"}
REQUESTS = st.fixed_dictionaries(
    {"messages": st.lists(TURNS, min_size=1, max_size=3), "tools": st.lists(TOOL, min_size=1, max_size=3)},
    optional={
        "max_tokens": st.integers(1, 10**6),
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(0, 9),
        "stop_sequences": st.lists(TEXTS, max_size=2),
        "system": st.text(max_size=4) | st.lists(marked(TEXT), min_size=1, max_size=3),
        "thinking": st.just({"type": "adaptive", "display": "omitted"}),
        "output_config": st.fixed_dictionaries(
            {},
            optional={
                "effort": st.sampled_from(["low", "max"]),
                "format": st.fixed_dictionaries({"type": st.just("json_schema"), "schema": INPUTS}),
                "new": INPUTS,
            },
        ),
        "tool_choice": st.sampled_from([{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "a"}]),
        "metadata": st.just({"user_id": "u"}),
        "new": INPUTS,
    },
)


def texts(content: Any) -> Any:
    """A text is a list of one, and an empty one of none."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content


def plain(blocks: Any) -> list[Json]:
    """Blocks as Converse keeps them: no names of documents, which are made anew, and all texts in lists."""
    made = []
    for one in texts(blocks):
        found = {name: value for name, value in one.items() if name != "title" or one["type"] != "document"}
        if found["type"] == "tool_result":
            found["content"] = plain(found.get("content") or [])
            if not found.get("is_error"):
                found.pop("is_error", None)
        made.append(found)
    return made


def comparable(request: Json) -> Json:
    made = {
        **request,
        "messages": [{**turn, "content": plain(turn["content"])} for turn in request["messages"]],
    }
    made["tools"] = [
        {name: value for name, value in tool.items() if tool.get("type") != "custom" or name != "type"}
        for tool in request["tools"]
    ]
    made["system"] = texts(request.get("system") or "")
    for name in ("system", "output_config"):
        if not made.get(name):
            made.pop(name, None)
    return made


@settings(max_examples=examples(40, of=100))
@given(asked=REQUESTS, bash=st.booleans())
def test_what_is_said_in_converses_words_is_read_as_it_was_asked(asked: Json, bash: bool) -> None:
    if bash:
        asked = {**asked, "tools": [*asked["tools"], BASH]}
    model = Catalogue.load().find(MODEL)
    assert model is not None
    body = {"model": MODEL, "stream": True, **asked}
    said = converse_body(MessagesBody(json.dumps(body).encode(), max_tokens_required=False), [])
    read = messages_request(read_request(said), model)
    assert comparable(read) == comparable({"max_tokens": model.limits.max_output, **asked})
    assert msgspec.json.encode(read), "as the core gets it"
