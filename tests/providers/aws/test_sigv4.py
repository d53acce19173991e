"""What we sign, AWS's own library signs the same: else every call would be refused."""

import datetime

import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from trimtab.providers.aws.sigv4 import Keys, Scope, canonical_query, sign

NOW = 1_795_000_000.0
ACCESS, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

SEGMENT = st.one_of(
    st.text("abcXYZ019-._~:;@!$&'()*+,=", min_size=1, max_size=12),
    st.sampled_from(
        [
            "anthropic.claude-haiku-4-5-20251001-v1:0",
            "anthropic.claude-haiku-4-5-20251001-v1%3A0",
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile%2Fab12",
            "%20",
            "%C3%A9",
            "..",
            ".",
            "",
            ".hidden",
            "...",
        ]
    ),
)
PATHS = st.lists(SEGMENT, min_size=1, max_size=6).map(lambda parts: "/" + "/".join(parts))
WORD = st.text("abcXYZ019-._~", max_size=8)
QUERIES = st.lists(st.tuples(WORD.filter(bool), WORD), max_size=4).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["content-type", "accept", "x-amzn-bedrock-trace", "x-amz-target", "anthropic-workspace-id"]
        ),
        st.text("abc 019,;=/\t", min_size=1, max_size=20),
    ),
    max_size=6,
)


def theirs(
    monkeypatch: pytest.MonkeyPatch,
    scope: Scope,
    method: str,
    url: str,
    headers: list[tuple[str, str]],
    body: bytes,
    token: str | None,
) -> dict[str, str]:
    request = AWSRequest(method=method, url=url, data=body)
    for name, value in headers:
        request.headers.add_header(name, value)
    monkeypatch.setattr(
        botocore.auth,
        "get_current_datetime",
        lambda: datetime.datetime.fromtimestamp(NOW, datetime.UTC).replace(tzinfo=None),
    )
    SigV4Auth(Credentials(ACCESS, SECRET, token), scope.service, scope.region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@given(
    path=PATHS,
    query=QUERIES,
    headers=HEADERS,
    body=st.one_of(st.just(b""), st.binary(max_size=300)),
    token=st.sampled_from([None, "IQoJb3JpZ2luX2VjE//token=="]),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    scope=st.builds(
        Scope,
        st.sampled_from(["bedrock", "bedrock-mantle", "aws-external-anthropic", "sts"]),
        st.sampled_from(["us-east-1", "eu-central-1"]),
    ),
    host=st.sampled_from(["bedrock-runtime.us-east-1.amazonaws.com", "127.0.0.1:8080"]),
)
def test_a_signature_is_the_one_that_the_library_of_aws_makes(
    path: str,
    query: str,
    headers: list[tuple[str, str]],
    body: bytes,
    token: str | None,
    method: str,
    scope: Scope,
    host: str,
) -> None:
    url = f"https://{host}{path}" + (f"?{query}" if query else "")
    with pytest.MonkeyPatch.context() as monkeypatch:
        expected = theirs(monkeypatch, scope, method, url, headers, body, token)
    lines = sign(
        Keys(ACCESS, SECRET, token),
        scope,
        method=method,
        host=host,
        path=path,
        query=query.encode(),
        headers=headers,
        body=body,
        now_s=NOW,
    )
    made = dict(line.split(": ", 1) for line in lines.decode().split("\r\n") if line)
    assert made["authorization"] == expected["authorization"]
    assert made["x-amz-date"] == expected["x-amz-date"]
    assert made.get("x-amz-security-token") == expected.get("x-amz-security-token")


def test_a_query_is_signed_the_way_aws_reads_it_however_it_was_encoded() -> None:
    assert canonical_query(b"b=x:y&a=%7e&a=1&c") == "a=1&a=~&b=x%3Ay&c="


def test_keys_do_not_show_their_secret() -> None:
    assert SECRET not in repr(Keys(ACCESS, SECRET, "token"))
    assert "token" not in repr(Keys(ACCESS, SECRET, "token"))


def test_the_next_day_has_another_key() -> None:
    def signature(now_s: float) -> bytes:
        return sign(
            Keys(ACCESS, SECRET),
            Scope("bedrock", "us-east-1"),
            method="POST",
            host="h",
            path="/",
            body=b"",
            now_s=now_s,
        )

    assert b"/20261118/" in signature(1_795_000_000)
    assert b"/20261119/" in signature(1_795_000_000 + 86_400)
    assert signature(NOW) == signature(NOW + 0.5)
