"""Which texts lose a secret and which stay as they are: a table, and what it says about public data."""

import gzip
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trimtab.content import redacted_request
from trimtab.content.patterns import redacted_text
from trimtab.telemetry.redaction import HIDDEN, Redactor

DATA = Path(os.environ.get("TRIMTAB_DATA", "/nowhere"))

S = "Zq7xV2mK9pLw4Rt8Ys3N"
"""A secret that nothing but its surroundings gives away."""
AWS = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzQ8aLpMwE"

MUST_GO: dict[str, tuple[str, str]] = {
    # name: (the text, what must not survive)
    "anthropic": (f"use sk-ant-api03-{S}{S}", S),
    "openai project": (f"OPENAI=sk-proj-{S}_{S}", S),
    "trimtab": (f"tt-{S}{S}", S),
    "xai": (f"xai-{S}{S}", S),
    **{f"github {kind}": (f"token gh{kind}_{S}{S}", S) for kind in "pousr"},
    "github fine-grained": (f"github_pat_{S}_{S}", S),
    "gitlab": (f"glpat-{S}", S),
    "gitlab deploy": (f"gldt-{S}", S),
    **{f"slack {kind}": (f"xox{kind}-1234567890-{S}", S) for kind in "abposre"},
    "slack rotated": (f"xoxe.xoxp-1-{S}", S),
    "slack app": (f"xapp-1-A0-{S}", S),
    "slack hook": (f"https://hooks.slack.com/services/T0/B0/{S}", S),
    "stripe": (f"sk_live_{S} rk_live_{S} sk_test_{S}", S),
    "stripe hook": (f"whsec_{S}", S),
    "google": ("AIza" + (S * 2)[:35], S),
    "google oauth": (f"ya29.{S}", S),
    "google client": (f"GOCSPX-{S}", S),
    "aws id": ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7EXAMPLE"),
    "aws temporary id": ("ASIAIOSFODNN7EXAMPLE", "IOSFODNN7EXAMPLE"),
    "aws secret beside its id": (f"AKIAIOSFODNN7EXAMPLE and {AWS}", AWS),
    "aws secret before its id": (f"{AWS}\n\nis of AKIAIOSFODNN7EXAMPLE", AWS),
    "aws credentials file": (f"aws_secret_access_key = {AWS}", AWS),
    "npm": ("npm_" + (S * 2)[:36], S),
    "npmrc": (f"//registry.example.org/:_authToken={S}", S),
    "pypi": (f"pypi-AgEIcHlwaS5vcmc{S}", S),
    "hugging face": (f"hf_{S}", S),
    "sendgrid": (f"SG.{S}.{S}{S}", S),
    "telegram": (f"12345678:AA{S}{S}"[:46], S),
    "jwt": (f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.{S}", S),
    "azure storage": (f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey={S}{S}==;EndpointSuffix=y", S),
    "azure bus": (f"Endpoint=sb://x/;SharedAccessKeyName=a;SharedAccessKey={S}=", S),
    "azure sas": (f"https://x.blob.example/c?sv=2024-01-01&se=2026&sig={S}%2B%3D&sp=r", S),
    "aws signed link": (f"https://b.example/k?X-Amz-Credential=a&X-Amz-Signature={S}", S),
    "database": (f"postgresql://ann:{S}@db.internal/x", S),
    "database, odd password": (f"mysql://ann:p@{S}:x@db/x", S),
    "redis without a name": (f"redis://:{S}@cache:6379/0", S),
    "mongo": (f"mongodb+srv://ann:{S}@c.example/x?retryWrites=true", S),
    "token as a name": (f"https://{S}{S}@git.example/x.git", S),
    "jdbc": (f"jdbc:postgresql://db/x?user=ann&password={S}", S),
    "bearer in text": (f"send Bearer {S} with it", S),
    "bearer header": (f"Authorization: Bearer {S}", S),
    "basic header": ("Proxy-Authorization: Basic YW5uOmh1bnRlcjI=", "YW5uOmh1bnRlcjI"),
    "basic in text": ("send it as Basic YW5uOmh1bnRlcjI= please", "YW5uOmh1bnRlcjI"),
    "digest": (f'Authorization: Digest username="ann", realm="x", response="{S}"', S),
    "aws header": (f"Authorization: AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature={S}", S),
    "header, curl": (f"curl -H 'Authorization: token {S}' https://x", S),
    "x-api-key": (f"-H 'x-api-key: {S}'", S),
    "cookie": (f"Cookie: session={S}; theme=dark", S),
    "set-cookie": (f"set-cookie: sid={S}; HttpOnly", S),
    "curl -u": (f"curl -u ann:{S} https://x", S),
    "curl -u quoted": (f"curl -s -u 'ann:{S} two' https://x", f"{S} two"),
    "curl --user": (f"curl --user ann:{S} https://x", S),
    "curl on many lines": (f"curl https://x \\\n  -su ann:{S}", S),
    "--password": ("tool --password hunter2 --verbose", "hunter2"),
    "--password=": ("tool --password=hunter2", "hunter2"),
    "--db-password quoted": ('tool --db-password "correct horse"', "correct horse"),
    "--token": (f"tool --token {S}", S),
    "mysql -p": ("mysqldump -u root -phunter2 shop", "hunter2"),
    "sshpass": ("sshpass -p hunter2 ssh x", "hunter2"),
    "password:": ("password: hunter2", "hunter2"),
    "passwd:": ("passwd: hunter2", "hunter2"),
    "pwd=": ("Server=db;User Id=sa;Pwd=hunter2;", "hunter2"),
    "uid and pwd": ("uid=sa;pwd=hunter2", "hunter2"),
    "passphrase": ("Passphrase: hunter2", "hunter2"),
    "environment": ("export DB_PASSWORD=hunter2", "hunter2"),
    "environment, pass": ("SMTP_PASS=hunter2", "hunter2"),
    "environment, secret": ("SESSION_SECRET=hunter2", "hunter2"),
    "environment, token": ("GITEA_TOKEN=hunter2x", "hunter2x"),
    "yaml": ("  api_key: hunter2", "hunter2"),
    "toml": ('client_secret = "correct horse"', "correct horse"),
    "python": ("connect(user='ann', password='correct horse')", "correct horse"),
    "ruby": (":password => 'correct horse'", "correct horse"),
    "markdown": ("**Password:** hunter2", "hunter2"),
    "markdown code": ("Password: `correct horse`", "correct horse"),
    "xml": ("<password>correct horse</password>", "correct horse"),
    "json in a text": ('{"user": "ann", "password": "correct horse"}', "correct horse"),
    "json in json in a text": (r'{"a": "{\"password\": \"correct horse\"}"}', "correct horse"),
    "json with an escaped quote": (r'{"password": "cor\"rect horse"}', "rect horse"),
    "json, nested": ('{"password": {"value": "hunter2"}}', "hunter2"),
    "json, a list": ('{"passwords": ["hunter2", "correct horse"]}', "correct horse"),
    "json, cut off": ('{"password": "correct hor', "correct hor"),
    "said": ('the password is "correct horse"', "correct horse"),
    "said, single quotes": ("my password is 'correct horse battery'", "correct horse battery"),
    "said, bare": ("The password is hunter2, do not tell", "hunter2"),
    "said, with a colon": ("the password is: hunter2", "hunter2"),
    "said of a change": ("set the password to hunter2", "hunter2"),
    "with marks in it": ("password=a,b;c&d2", "a,b;c&d2"),
    "after another name": ("key: password=hunter2", "hunter2"),
    "after the same name": ("password: env:X password: hunter2", "hunter2"),
    **{
        f"pem {kind}": (f"-----BEGIN {kind}PRIVATE KEY-----\n{S}\n{S}\n-----END {kind}PRIVATE KEY-----", S)
        for kind in ("", "RSA ", "EC ", "DSA ", "OPENSSH ", "ENCRYPTED ")
    },
    "pgp": (f"-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 1\n\n{S}\n-----END PGP PRIVATE KEY BLOCK-----", S),
    "ssh2": (f'---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: "x"\n{S}\n---- END SSH2 ENCRYPTED PRIVATE KEY ----', S),
    "putty": (f"PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 1\n{S}\nPrivate-MAC: 12", S),
    "age": ("AGE-SECRET-KEY-1" + "QPZRY9X8GF2TVDW0S3JN" * 3, "QPZRY9X8GF2TVDW0S3JN"),
}  # fmt: skip

MUST_STAY = {
    "prose": "The secret of a good password is its length; a token of thanks, the key to success, basic understanding.",
    "prose about keys": "The key is the first column. The token is invalid. The password is wrong. Bearer authentication.",
    "prose with colons": "Key: Value. Note: tokens are counted. The key question: who pays? Passwords are hard.",
    "options, spoken of": "Use --password to set it, or --token and --secret with a file; see --password-stdin.",
    "counts": "max_tokens: 64, input_tokens: 1024, output_tokens=5, tokens: 12, next_page_token: none",
    "tests": "pass: 12, fail: 3; 14 passed, 2 failed; PASS tests/test_keys.py",
    "code": "def login(user: str, password: str) -> bool:\n    return check(user, self.password)",
    "code, an environment": "password = os.environ['DB_PASSWORD_NAME_HERE'][0]".replace("['DB_PASSWORD_NAME_HERE'][0]", ".get"),
    "code, arguments": "connect(password=args.password, token=None, api_key=settings.key)",
    "code, dictionary": "for key, value in items: result[key] = value; keys = sorted(d.keys()); key=lambda x: x[1]",
    "code, generics": "Map<String, Token> tokens; std::pair<Key, Value> k; key := range m",
    "templates": "password: ${DB_PASSWORD}, api_key: {{ api_key }}, token: <your-token>, secret: ****, pwd: $PWD",
    "references": "api_key = 'env:NAME'; password: file:/run/secret",
    "shell": "PWD=/home/ann OLDPWD=/srv; cd $(pwd): done; docker run -u 1000:1000 x; mkdir -p build; sudo -u www id",
    "sha-1": "commit 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12 of AWS_REGION",
    "sha-256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "uuid": "550e8400-e29b-41d4-a716-446655440000",
    "ids": "toolu_01A09q90qw90lq917835lq9 msg_01XFDUDYJgAACzvnptvVoYEL req_011CSHoEeqs5C35K2UUqR7Fy",
    "models": "claude-sonnet-4-5-20250929, anthropic.claude-opus-4-6-v1:0, gpt-4o-mini",
    "links": "https://example.org:8080/a/b?page=2&sort=key#token and https://example.org/@ann/posts",
    "certificate's name": "-----BEGIN CERTIFICATE REQUEST----- is no private key",
    "public key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2x ann",
    "small base64": "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7",
    "schema in a text": '{"properties": {"password": {"type": "string", "description": "At least 12."}}}',
    "packages": "sk-learn, task-list, pypi-server, hf_hub, npm_config, xai-sdk, ghp_user, skill-based",
    "csv": "name,key,token,secret\n",
    "a list of names": '"required": ["password", "email"]',
    "sql": "CREATE TABLE t (key TEXT PRIMARY KEY, token TEXT, password VARCHAR(255) NOT NULL)",
}  # fmt: skip


@pytest.mark.parametrize("case", MUST_GO)
def test_a_secret_goes_from_a_prompt_and_from_a_log(case: str) -> None:
    text, secret = MUST_GO[case]
    for said in (redacted_text(text), Redactor().clean(text)):
        assert secret not in said
        assert "[redacted: " in said or HIDDEN in said


@pytest.mark.parametrize("case", MUST_STAY)
def test_ordinary_text_stays_readable(case: str) -> None:
    assert redacted_text(MUST_STAY[case]) == MUST_STAY[case]
    assert Redactor().clean(MUST_STAY[case]) == MUST_STAY[case]


ends = st.sampled_from(["", " ", "\n", '"', "'", "`", ")", ". ", ", ", "; ", "\\", "\u2028", "\U0001f511 "])


@given(st.sampled_from(sorted(MUST_GO)), st.text(max_size=60), ends, ends, st.text(max_size=60))
@example("password:", "\u0130" * 9, " ", "", "")  # longer in lower case
def test_no_surroundings_keep_a_secret_in_the_text(
    case: str, before: str, left: str, right: str, after: str
) -> None:
    text, secret = MUST_GO[case]
    assert secret not in redacted_text(f"{before} {left}{text}{right} {after}")
    assert secret not in Redactor().clean(f"{before} {left}{text}{right} {after}")


@given(st.sampled_from(sorted(MUST_GO)), st.sampled_from(sorted(MUST_GO)), st.sampled_from([" ", "\n", ", "]))
def test_one_secret_does_not_shield_another(first: str, second: str, between: str) -> None:
    said = redacted_text(MUST_GO[first][0] + between + MUST_GO[second][0])
    assert MUST_GO[first][1] not in said
    assert MUST_GO[second][1] not in said


@given(st.sampled_from(sorted(MUST_GO)), st.booleans())
def test_a_secret_in_a_request_goes_whatever_holds_it(case: str, escaped: bool) -> None:
    text, secret = MUST_GO[case]
    body = {
        "messages": [{"role": "user", "content": [{"type": "tool_result", "content": text}]}],
        text: [text],
    }
    kept = redacted_request(json.dumps(body, ensure_ascii=escaped).encode())
    assert kept is not None
    assert secret not in kept.decode()
    assert json.dumps(secret)[1:-1] not in kept.decode()


leaves = st.text(min_size=1, max_size=20) | st.integers(10**6, 10**9) | st.floats(1e6, 1e9)
nested = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.sampled_from(["value", "type", "a", "secret"]), inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


def leaves_of(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for one in value.values() for leaf in leaves_of(one)]
    if isinstance(value, list):
        return [leaf for one in value for leaf in leaves_of(one)]
    return [value]


@given(st.sampled_from(["password", "clientSecret", "x-api-key", "DB_PWD", "credentials", "token"]), nested)
def test_nothing_under_a_secrets_name_is_kept_however_deep_it_lies(name: str, value: Any) -> None:
    kept = redacted_request(json.dumps({"input": {name: {"wrapped": value}}}).encode())
    assert kept is not None
    assert set(leaves_of(json.loads(kept))) == {"[redacted: secret]"}


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ({"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "DB_PASSWORD", "value": "[redacted: secret]"}),
        ({"name": "REGION", "value": "eu"}, {"name": "REGION", "value": "eu"}),
        ({"cookies": [{"name": "sid", "value": 5}]}, {"cookies": [{"name": "[redacted: secret]", "value": "[redacted: secret]"}]}),
        ({"password": None, "secret": True}, {"password": None, "secret": True}),
        ({"password": {"type": "string", "default": "hunter2"}}, {"password": {"type": "string", "default": "[redacted: secret]"}}),
        ({"password": {"type": "plain", "value": "hunter2"}}, {"password": {"type": "[redacted: secret]", "value": "[redacted: secret]"}}),
        ({"secretary": "Ann", "max_tokens": 5, "next_page_token": "x"}, {"secretary": "Ann", "max_tokens": 5, "next_page_token": "x"}),
    ],
)  # fmt: skip
def test_pairs_schemas_and_numbers_under_names(found: Any, kept: Any) -> None:
    redacted = redacted_request(json.dumps(found).encode())
    assert redacted is not None
    assert json.loads(redacted) == kept


SLOW = ["password=", 'password="', "password={", "key:", "token: ", "secret_key=", "authorization: digest ", "-----BEGIN PRIVATE KEY-----",
        "---- BEGIN SSH2 PRIVATE KEY ----", "basic ", "Basic YWFh ", "--token ", "--a-b-c-", "curl -u a", "curl -u a:", "mysql ", "mysql -x ",
        "<password>", "<password a", "?sig=", "&x-amz-signature=", "bearer ", "bearer a", "://a:", "AKIA", "aws_ " + "aB3" * 13, "eyJ", "gh",
        "password is ", "pass", '\\"password\\": \\"', "password=a,", "pwd=a;", "password='", "tokens", "glpat-", "xox", "SG." + "a" * 20, "x"]  # fmt: skip


@pytest.mark.parametrize("piece", SLOW)
def test_twice_the_text_takes_about_twice_the_time(piece: str) -> None:
    """Half a megabyte against half of that: a quadratic search would take four times as long; a second try allows for noise."""

    def spent(size: int) -> float:
        text = piece * (size // len(piece))
        began = time.process_time()
        redacted_text(text)
        Redactor().clean(text)
        return time.process_time() - began

    ratios = (spent(500_000) / max(spent(250_000), 0.001) for _ in range(4))
    assert any(ratio < 3.2 for ratio in ratios)


def rows(name: str) -> list[dict[str, Any]]:
    path = DATA / name
    if not path.exists():
        pytest.skip("public data is not here; TRIMTAB_DATA names its folder")
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("evals/gsm8k_test.jsonl", ("question", "solution")),
        ("evals/humaneval.jsonl", ("prompt", "canonical_solution", "test")),
        ("evals/bfcl.jsonl", ("messages", "functions")),
        ("safeguards/xstest.jsonl", ("prompt",)),
        ("routing/zeroeval_dev.jsonl.gz", ("prompt", "gold")),
    ],
)
def test_public_prompts_are_hardly_ever_taken_for_secrets(name: str, fields: tuple[str, ...]) -> None:
    found = [redacted_text(json.dumps(row[field])) for row in rows(name) for field in fields]
    taken = [text for text in found if "[redacted: secret]" in text]
    assert len(taken) <= len(found) // 200, taken[:5]
