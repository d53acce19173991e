"""The simulated servers that give out credentials: asked by AWS's and Google's own libraries, and what they refuse."""

import base64
import datetime
import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlencode

import botocore.session
import pytest
from aws_platform import ACCESS, SECRET
from botocore.config import Config
from botocore.credentials import ContainerProvider, InstanceMetadataFetcher
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google_service import Account
from hypothesis import given
from hypothesis import strategies as st
from simulated_platforms import REGION, House, simulated

from trimtab.catalogue import Catalogue
from trimtab.catalogue.model import Platform
from trimtab.providers.simulator import Simulator, SimulatorSettings
from trimtab.providers.simulator.faces import FaceOptions, Front
from trimtab.providers.simulator.faces.issuers.rsa import read_public_key, verifies
from trimtab.providers.simulator.issued import Issued
from trimtab.providers.simulator.script import read_script

ROLE = "arn:aws:iam::123456789012:role/gateway"
NOW = 1_795_000_000.0
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
OLD = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjF9.c2ln"
"""A token of another issuer's that ended in 1970."""

Said = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="module")
def account() -> Account:
    return Account.new()


@pytest.fixture(scope="module")
def house(account: Account) -> Iterator[House]:
    options = {"issued": Issued(7, 1800), "google_key": read_public_key(account.public)}
    with simulated(catalogue=Catalogue.load(), options=options) as made:
        yield made


@pytest.fixture(scope="module")
def front() -> Front:
    return fronted()


def fronted(script: str | None = None, only: Platform | None = None, **options: Any) -> Front:
    catalogue = Catalogue.load()
    read = read_script(script.encode(), "s") if script else None
    simulator = Simulator(SimulatorSettings(latency_scale=0.0), catalogue, script=read)
    return Front(simulator, catalogue, FaceOptions(**options), only=only, clock=lambda: NOW)


def said(
    to: Front,
    method: str,
    path: str,
    fields: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    query: str = "",
) -> Said:
    named = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    body = urlencode(fields).encode() if fields is not None else b""
    response = to.handle(method, path, query.encode(), named, body)
    found = {name.decode(): value.decode() for name, value in response.headers}
    assert found["x-trimtab-simulated"] == "true"
    content = b"".join(step for step in response.steps if isinstance(step, bytes))
    assert int(found["content-length"]) == len(content)
    return response.status, found, content


# The vendors' own libraries


def sts(url: str, secret: str = SECRET) -> Any:
    return botocore.session.get_session().create_client(
        "sts",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=ACCESS,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}),
    )


def ends_in(moment: datetime.datetime) -> float:
    return (moment - datetime.datetime.now(datetime.UTC)).total_seconds()


def test_awss_own_client_assumes_a_role(house: House) -> None:
    with closing(sts(house.url)) as client:
        assumed = client.assume_role(RoleArn=ROLE, RoleSessionName="tests")
        by_token = client.assume_role_with_web_identity(
            RoleArn=ROLE, RoleSessionName="tests", WebIdentityToken="some-token", DurationSeconds=900
        )
    for answer, life in ((assumed, 1800), (by_token, 900)):
        keys = answer["Credentials"]
        assert keys["AccessKeyId"].startswith("ASIA")
        assert len(keys["AccessKeyId"]) == 20
        assert life - 30 < ends_in(keys["Expiration"]) <= life
    with closing(sts(house.url, SECRET[::-1])) as client, pytest.raises(ClientError) as problem:
        client.assume_role(RoleArn=ROLE, RoleSessionName="tests")
    assert problem.value.response["Error"]["Code"] == "SignatureDoesNotMatch"
    with closing(sts(house.url)) as client, pytest.raises(ClientError) as problem:
        client.assume_role_with_web_identity(RoleArn=ROLE, RoleSessionName="tests", WebIdentityToken=OLD)
    assert problem.value.response["Error"]["Code"] == "ExpiredTokenException"


def test_awss_own_library_gets_keys_of_an_instance_and_of_a_container(house: House) -> None:
    fetched = InstanceMetadataFetcher(
        base_url=f"{house.url}/", num_attempts=1
    ).retrieve_iam_role_credentials()
    assert fetched["role_name"] == "simulated-role"
    assert fetched["access_key"].startswith("ASIA")
    environment = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{house.url}/v2/credentials/1"}
    keys = ContainerProvider(environ=environment).load()
    assert keys is not None
    assert keys.token.startswith("sim-aws.")


def test_googles_own_library_gets_a_token_for_the_key_that_was_given_and_for_no_other(
    house: House, account: Account
) -> None:
    oauth = pytest.importorskip("google.oauth2.service_account", reason="google-auth is not installed")
    requests = pytest.importorskip("google.auth.transport.requests", reason="requests is not installed")
    errors = pytest.importorskip("google.auth.exceptions")
    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    with requests.requests.Session() as session:
        made = oauth.Credentials.from_service_account_info(account.file(f"{house.url}/token"), scopes=scopes)
        made.refresh(requests.Request(session))
        assert made.token.startswith("sim-google.")
        assert 1700 < (made.expiry - datetime.datetime.now(datetime.UTC).replace(tzinfo=None)).seconds <= 1800
        stranger = Account.new().file(f"{house.url}/token")
        other = oauth.Credentials.from_service_account_info(stranger, scopes=scopes)
        with pytest.raises(errors.RefreshError, match="Invalid JWT Signature"):
            other.refresh(requests.Request(session))


# What is refused


AWS_FORM = {
    "Action": "AssumeRoleWithWebIdentity",
    "Version": "2011-06-15",
    "RoleArn": ROLE,
    "RoleSessionName": "tests",
    "WebIdentityToken": "token",
}
ENTRA = "/tenant/oauth2/v2.0/token"
ENTRA_FORM = {
    "grant_type": "client_credentials",
    "client_id": "c",
    "client_secret": "s",
    "scope": "https://ai.azure.com/.default",
}
BY_ASSERTION = {
    "client_secret": "",
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
}
MSI = "/metadata/identity/oauth2/token"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Action": "GetCallerIdentity"}, "InvalidAction"),
        ({"Version": "2020-01-01"}, "InvalidAction"),
        ({"RoleArn": "gateway"}, "ValidationError"),
        ({"RoleSessionName": ""}, "ValidationError"),
        ({"WebIdentityToken": ""}, "InvalidIdentityToken"),
        ({"WebIdentityToken": OLD}, "ExpiredTokenException"),
        ({"DurationSeconds": "10"}, "ValidationError"),
        ({"Action": "AssumeRole"}, "MissingAuthenticationToken"),
    ],
)
def test_sts_says_what_is_wrong_in_its_own_shape(change: dict[str, str], code: str, front: Front) -> None:
    status, headers, body = said(front, "POST", "/", {**AWS_FORM, **change})
    assert status in (400, 403)
    assert headers["content-type"] == "text/xml"
    assert f"<Code>{code}</Code>" in body.decode()
    assert said(front, "POST", "/", AWS_FORM)[0] == 200


def test_metadata_of_an_instance_needs_the_token_that_it_gives_out(front: Front) -> None:
    keys = "/latest/meta-data/iam/security-credentials/"
    assert said(front, "GET", keys)[0] == 401
    assert said(front, "PUT", "/latest/api/token")[0] == 400
    life = {"x-aws-ec2-metadata-token-ttl-seconds": "60"}
    _, _, token = said(front, "PUT", "/latest/api/token", headers=life)
    given = {"x-aws-ec2-metadata-token": token.decode()}
    assert said(front, "GET", keys, headers=given)[2] == b"simulated-role"
    assert said(front, "GET", f"{keys}another", headers=given)[0] == 404
    old = Issued().token("imds", NOW - 61, 60)
    assert said(front, "GET", keys, headers={"x-aws-ec2-metadata-token": old})[0] == 401
    assert said(front, "GET", "/v1/credentials")[0] == 401


def assertion(**claims: Any) -> str:
    found = {
        "iss": "a@b",
        "scope": "s",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": int(NOW),
        "exp": int(NOW) + 3600,
        **claims,
    }
    parts = ({"alg": claims.pop("alg", "RS256")}, found)
    text = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*text, "c2ln"])


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"assertion": ""}, "Missing required parameter: assertion"),
        ({"assertion": "a.b"}, "three parts"),
        ({"assertion": "a.b.c.d"}, "three parts"),
        ({"assertion": assertion(alg="none")}, "RS256"),
        ({"assertion": assertion(aud="https://example.com")}, "audience"),
        ({"assertion": assertion(scope="")}, "invalid_scope"),
        ({"assertion": assertion(exp=int(NOW) - 1)}, "reasonable timeframe"),
        ({"assertion": assertion(exp=int(NOW) + 3601)}, "reasonable timeframe"),
        ({"assertion": assertion(iat=int(NOW) + 301)}, "reasonable timeframe"),
        ({"assertion": assertion(iat="now")}, "reasonable timeframe"),
        ({"grant_type": "refresh_token", "client_id": "c"}, "client_secret"),
    ],
)
def test_google_says_what_is_wrong_with_a_grant(fields: dict[str, str], problem: str, front: Front) -> None:
    good = {"grant_type": JWT_GRANT, "assertion": assertion()}
    status, _, body = said(front, "POST", "/token", {**good, **fields})
    assert status == 400
    assert problem in json.dumps(json.loads(body))
    assert said(front, "POST", "/token", good)[0] == 200
    assert said(front, "GET", "/computeMetadata/v1/project/project-id")[0] == 403


@pytest.mark.parametrize(
    ("change", "status", "problem"),
    [
        ({"grant_type": "password"}, 400, "AADSTS70003"),
        ({"client_id": ""}, 400, "AADSTS900144"),
        ({"scope": "openid"}, 400, "AADSTS1002012"),
        ({"client_secret": ""}, 401, "AADSTS7000216"),
        ({**BY_ASSERTION, "client_assertion": OLD}, 401, "AADSTS700024"),
        ({**BY_ASSERTION, "client_assertion": "opaque"}, 200, ""),
    ],
)
def test_entra_says_what_is_wrong_by_its_own_codes(
    change: dict[str, str], status: int, problem: str, front: Front
) -> None:
    found, _, body = said(front, "POST", ENTRA, {**ENTRA_FORM, **change})
    assert found == status
    assert problem in json.loads(body).get("error_description", "")


def test_a_managed_identity_needs_its_header_and_a_resource(front: Front) -> None:
    query = "api-version=2018-02-01&resource=https%3A%2F%2Fai.azure.com"
    assert said(front, "GET", MSI, query=query)[0] == 400
    assert said(front, "GET", MSI, headers={"metadata": "true"})[0] == 400
    assert said(front, "GET", "/msi/token", query=query)[0] == 401
    status, _, body = said(front, "GET", MSI, headers={"metadata": "true"}, query=query)
    assert (status, json.loads(body)["resource"]) == (200, "https://ai.azure.com")


# Platforms


VERTEX = "/v1/projects/p/locations/r/publishers/anthropic/models/claude-opus-4-7:rawPredict"


@pytest.mark.parametrize(
    ("path", "whose", "body"),
    [
        (VERTEX, "google", {"anthropic_version": "vertex-2023-10-16"}),
        ("/anthropic/v1/messages", "azure", {"model": "claude-opus-4-7"}),
    ],
)
def test_tokens_of_the_simulators_are_good_until_their_end_and_no_other_seeds(
    path: str, whose: Any, body: dict[str, Any], front: Front
) -> None:
    content = json.dumps({**body, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}).encode()

    def status(token: str) -> int:
        headers = [(b"authorization", b"Bearer " + token.encode()), (b"anthropic-version", b"2023-06-01")]
        return front.handle("POST", path, b"", headers, content).status

    good = Issued().token(whose, NOW)
    other: Any = "azure" if whose == "google" else "google"
    assert status(good) == 200
    assert status("of-somebody-else") == 200
    assert status(Issued().token(whose, NOW - 3601)) == 401
    assert status(Issued(1).token(whose, NOW)) == 401
    assert status(good[:-1] + ("0" if good[-1] != "0" else "1")) == 401
    assert status(f"sim-{whose}.9999999999.0.") == 401
    assert status(f"sim-{whose}.") == 401
    assert status(Issued().token(other, NOW)) == 200, "of another's it knows nothing"


def test_an_access_key_of_the_simulators_is_refused_without_its_session_token(front: Front) -> None:
    keys = Issued().keys(NOW)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(NOW))
    scope = f"{keys.access_key}/{stamp[:8]}/eu-west-1/bedrock/aws4_request"
    signed = "host;x-amz-date"
    headers = {
        "host": "h",
        "x-amz-date": stamp,
        "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={signed}, Signature={'0' * 64}",
    }
    path = "/model/eu.anthropic.claude-opus-4-7/converse"
    status, found, _ = said(front, "POST", path, {}, headers)
    assert (status, found["x-amzn-errortype"]) == (403, "UnrecognizedClientException")
    headers["authorization"] = headers["authorization"].replace(signed, f"{signed};x-amz-security-token")
    headers["x-amz-security-token"] = keys.token
    status, found, _ = said(front, "POST", path, {}, headers)
    assert (status, found["x-amzn-errortype"]) == (403, "InvalidSignatureException")
    headers["x-amz-security-token"] = Issued().keys(NOW + 1).token
    assert said(front, "POST", path, {}, headers)[1]["x-amzn-errortype"] == "UnrecognizedClientException"


@pytest.mark.parametrize("only", ["anthropic", "bedrock_converse", "vertex", "foundry"])
def test_a_platform_alone_has_its_own_servers_beside_it_and_no_others(only: Platform) -> None:
    to = fronted(only=only)
    asked = {
        "bedrock_converse": said(to, "POST", "/", AWS_FORM),
        "vertex": said(to, "POST", "/token", {"grant_type": JWT_GRANT, "assertion": assertion()}),
        "foundry": said(to, "POST", ENTRA, ENTRA_FORM),
    }
    for platform, answer in asked.items():
        assert (answer[0] == 200) is (platform == only), answer


def test_a_script_decides_what_servers_of_credentials_say() -> None:
    to = fronted(
        """
version: 1
rules:
- {match: {endpoint: credentials, contains: entra, nth: 1}, reply: {error: {status: 400, error_code: unauthorized_client, message: "AADSTS700016: gone"}}}
- {match: {endpoint: credentials, contains: [sts, gateway]}, reply: {error: {status: 400, error_code: ExpiredToken, message: a < b}}}
- {match: {endpoint: credentials, contains: google}, reply: {raw: {status: 502, content_type: text/html, body: <h1>}}}
"""
    )
    status, _, body = said(to, "POST", ENTRA, ENTRA_FORM)
    assert (status, json.loads(body)) == (
        400,
        {"error": "unauthorized_client", "error_description": "AADSTS700016: gone"},
    )
    assert said(to, "POST", ENTRA, ENTRA_FORM)[0] == 200
    status, headers, body = said(to, "POST", "/", AWS_FORM)
    assert (status, headers["content-type"]) == (400, "text/xml")
    assert b"<Code>ExpiredToken</Code><Message>a &lt; b</Message>" in body
    asked = {"grant_type": JWT_GRANT, "assertion": assertion()}
    assert said(to, "POST", "/token", asked)[::2] == (502, b"<h1>")


# Signatures


def test_signatures_are_those_of_the_key_and_of_every_byte(account: Account) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    public = read_public_key(b"\n" + pem)
    signature = key.sign(b"message", PKCS1v15(), SHA256())
    assert verifies(public, b"message", signature)
    assert not verifies(public, b"massage", signature)
    assert not verifies(read_public_key(account.public), b"message", signature)
    for at in (0, 100, 383):
        changed = bytearray(signature)
        changed[at] ^= 1
        assert not verifies(public, b"message", bytes(changed))
    assert not verifies(public, b"message", b"")


def test_only_public_keys_of_rsa_are_read(account: Account) -> None:
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    for key, problem in ((curve, "no key of RSA"), (short, "shorter than 2048 bits")):
        with pytest.raises(ValueError, match=problem):
            read_public_key(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for wrong in (account.private.encode(), b"", account.public[:-40], b"-----BEGIN PUBLIC KEY-----AAAA"):
        with pytest.raises(ValueError, match="is no public key in PEM"):
            read_public_key(wrong)


@given(inside=st.binary(max_size=80))
def test_whatever_a_key_file_holds_is_read_or_refused(inside: bytes) -> None:
    text = base64.b64encode(inside)
    with pytest.raises(ValueError, match=r"key|shorter"):
        read_public_key(b"-----BEGIN PUBLIC KEY-----\n" + text + b"\n-----END PUBLIC KEY-----\n")


@given(
    path=st.sampled_from(["/", "/token", "/v1/token", ENTRA, MSI, "/msi/token", "/latest/api/token"]),
    method=st.sampled_from(["GET", "POST", "PUT"]),
    fields=st.dictionaries(
        st.sampled_from([*AWS_FORM, *ENTRA_FORM, *BY_ASSERTION, "assertion", "client_assertion"]),
        st.text(max_size=8) | st.sampled_from([JWT_GRANT, OLD, *AWS_FORM.values()]),
    ),
    query=st.text(max_size=20),
)
def test_whatever_servers_of_credentials_are_asked_they_answer(
    front: Front, path: str, method: str, fields: dict[str, str], query: str
) -> None:
    status, _, _ = said(front, method, path, fields, {"metadata": "true"}, query)
    assert 200 <= status < 500
