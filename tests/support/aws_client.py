"""AWS's own client, for what answers as AWS does; and what its service model lets a program write.

What it is not: our provider, with which it shares no code.
"""

from typing import Any

import botocore.session
from aws_platform import ACCESS, SECRET
from botocore.config import Config
from botocore.model import Shape
from hypothesis import strategies as st

SERVICE = botocore.session.get_session().get_service_model("bedrock-runtime")
_TEXTS = {
    "S3Uri": "s3://bucket/key",
    "AccountId": "123456789012",
    "GuardrailIdentifier": "abc",
    "GuardrailVersion": "1",
}
"""For those whose pattern `a` does not fit."""


def client(url: str, region: str, secret: str = SECRET, **more: Any) -> Any:
    """It asks once, whatever the answer."""
    return botocore.session.get_session().create_client(
        "bedrock-runtime",
        region_name=region,
        endpoint_url=url,
        aws_access_key_id=ACCESS,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=20),
        **more,
    )


def values(shape: Shape, depth: int = 0) -> st.SearchStrategy[Any]:
    """What a program may give for a shape; optional members get rarer with depth."""
    if getattr(shape, "is_document_type", False):
        return st.dictionaries(st.sampled_from("ab"), st.integers() | st.text(max_size=3), max_size=2)
    match shape.type_name:
        case "structure":
            return _structures(shape, depth)
        case "list":
            least, most = shape.metadata.get("min", 0), 2 if depth < 4 else 1
            return st.lists(values(shape.member, depth + 1), min_size=least, max_size=max(most, least))
        case "map":
            return st.dictionaries(
                st.sampled_from("ab"), values(shape.value, depth + 1), min_size=1, max_size=2
            )
        case "string":
            return st.sampled_from(shape.enum) if shape.enum else st.just(_TEXTS.get(shape.name, "a"))
        case "blob":
            return st.binary(min_size=1, max_size=5)
        case "boolean":
            return st.booleans()
        case "float":
            return st.floats(0, 1)
    return st.integers(shape.metadata.get("min", 0), 1000)


def _structures(shape: Shape, depth: int) -> st.SearchStrategy[Any]:
    members = shape.members
    if shape.metadata.get("union"):
        return st.one_of(
            *(
                values(member, depth + 1).map(lambda value, name=name: {name: value})
                for name, member in members.items()
            )
        )
    needed = {name: values(members[name], depth + 1) for name in shape.required_members}
    others = {name: values(member, depth + 1) for name, member in members.items() if name not in needed}
    return st.fixed_dictionaries(needed, optional=others)
