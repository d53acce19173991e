"""Where AWS credentials come from: the usual places in the usual order, and no error shows what they hold."""

import asyncio
import json
import shlex
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aws_platform import ACCESS, NOW, SECRET, TOKEN, keys, where
from aws_verify import signed_by
from scripted_upstream import Received, Upstream, whole

from trimtab.config import Secret
from trimtab.errors import ConfigError, UpstreamRefused
from trimtab.providers import Call
from trimtab.providers.aws.credentials import open_credentials, region_of
from trimtab.providers.aws.settings import AwsSettings
from trimtab.providers.aws.sigv4 import Scope
from trimtab.providers.http import Target
from trimtab.providers.machine import Machine

END = "2026-11-18T13:06:40Z"  # half an hour after NOW
STS = """<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
<SessionToken>sts-token</SessionToken><SecretAccessKey>sts-secret</SecretAccessKey>
<Expiration>2026-11-18T13:06:40Z</Expiration><AccessKeyId>ASIASTS</AccessKeyId>
</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""
CALL = Call("POST", "/x", [], body=b"{}")
TARGET = Target("https", "bedrock-runtime.eu-west-1.amazonaws.com", 443)


class Place:
    """A machine that a test furnishes."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment: dict[str, str] = {"AWS_EC2_METADATA_DISABLED": "true"}

    def files(self, credentials: str = "", config: str = "") -> None:
        folder = self.home / ".aws"
        folder.mkdir(exist_ok=True)
        (folder / "credentials").write_text(credentials)
        (folder / "config").write_text(config)

    @property
    def machine(self) -> Machine:
        return Machine(self.environment, self.home, lambda: NOW)

    def lines(self, **written: Any) -> dict[str, str]:
        """The headers that authenticate a call."""
        credentials = open_credentials(
            AwsSettings(**written),
            where,
            self.machine,
            Scope("bedrock", "eu-west-1"),
            TARGET,
            bearer_variables=("AWS_BEARER_TOKEN_BEDROCK",),
        )

        async def made() -> bytes:
            try:
                return await credentials.lines(CALL)
            finally:
                await credentials.aclose()

        lines = asyncio.run(made()).decode()
        return dict(line.split(": ", 1) for line in lines.split("\r\n") if line)

    def access_key(self, **written: Any) -> str:
        """The access key that a call is signed with."""
        return self.lines(**written)["authorization"].partition("Credential=")[2].partition("/")[0]

    def refusal(self, **written: Any) -> str:
        with pytest.raises((ConfigError, UpstreamRefused)) as problem:
            self.lines(**written)
        assert SECRET not in str(problem.value)
        return str(problem.value)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def environment_keys(place: Place) -> None:
    place.environment |= {
        "AWS_ACCESS_KEY_ID": "AKIAENV",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "env-token",
    }


def container(place: Place, upstream: Upstream, answer: Any = None, **more: str) -> None:
    place.environment |= {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{upstream.url}/v1/credentials?a=b", **more}
    found = {"AccessKeyId": "ASIACON", "SecretAccessKey": "s", "Token": "con-token", "Expiration": END}
    raw = answer if isinstance(answer, bytes) else json.dumps(answer or found).encode()
    upstream.answer = lambda _: whole(raw)


# The order


def test_each_place_wins_over_those_behind_it(place: Place, upstream: Upstream, tmp_path: Path) -> None:
    place.files("[default]\naws_access_key_id = AKIAFILE\naws_secret_access_key = s\n")
    container(place, upstream)
    token = tmp_path / "token"
    token.write_text("jwt")
    place.environment |= {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token), "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"}
    sts = Upstream(lambda _: whole(STS.encode()))
    place.environment["AWS_ENDPOINT_URL_STS"] = sts.url
    environment_keys(place)
    place.environment["AWS_BEARER_TOKEN_BEDROCK"] = "bearer-1"

    assert place.access_key(**keys()) == ACCESS
    assert place.lines(api_key=Secret("k-2", "env:K"))["authorization"] == "Bearer k-2"
    assert place.lines()["authorization"] == "Bearer bearer-1"
    del place.environment["AWS_BEARER_TOKEN_BEDROCK"]
    assert place.access_key() == "AKIAENV"
    del place.environment["AWS_ACCESS_KEY_ID"]
    assert place.access_key() == "ASIASTS"
    del place.environment["AWS_ROLE_ARN"]
    assert place.access_key() == "AKIAFILE"
    place.files()
    assert place.access_key() == "ASIACON"
    del place.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    del place.environment["AWS_EC2_METADATA_DISABLED"]
    place.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = upstream.url
    upstream.answer = metadata
    assert place.access_key() == "ASIAIMDS"
    sts.close()


def test_a_profile_that_the_configuration_names_wins_over_the_environment(place: Place) -> None:
    environment_keys(place)
    place.environment["AWS_BEARER_TOKEN_BEDROCK"] = "bearer-1"
    place.environment["AWS_PROFILE"] = "other"
    place.files("[work]\naws_access_key_id = AKIAWORK\naws_secret_access_key = s\naws_session_token = t\n")
    lines = place.lines(profile="work")
    assert "Credential=AKIAWORK/20261118/eu-west-1/bedrock/aws4_request" in lines["authorization"]
    assert lines["x-amz-security-token"] == "t"


def test_keys_of_the_configuration_sign_with_their_token(place: Place) -> None:
    assert place.lines(**keys())["x-amz-security-token"] == TOKEN
    assert "x-amz-security-token" not in place.lines(**keys(session_token=None))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"access_key_id": Secret("a", "env:A")}, "aws.secret_access_key: missing; access_key_id is set"),
        (
            {"secret_access_key": Secret(SECRET, "env:A")},
            "aws.access_key_id: missing; secret_access_key is set",
        ),
        ({"session_token": Secret("a", "env:A")}, "aws.session_token: belongs to keys"),
        ({"profile": "p", "api_key": Secret("a", "env:A")}, "aws.profile: api_key is set too; keep one"),
        ({**keys(), "api_key": Secret("a", "env:A")}, "aws.access_key_id: api_key is set too; keep one"),
        ({**keys(), "profile": "p"}, "aws.profile: access_key_id is set too; keep one"),
    ],
)
def test_half_a_pair_and_two_ways_at_once_are_refused(place: Place, written: Any, said: str) -> None:
    assert said in place.refusal(**written)


def test_half_a_pair_in_the_environment_is_refused(place: Place) -> None:
    environment_keys(place)
    del place.environment["AWS_SECRET_ACCESS_KEY"]
    assert "environment: AWS_SECRET_ACCESS_KEY: is not set, and AWS_ACCESS_KEY_ID is" in place.refusal()


def test_where_nothing_is_found_it_is_said_what_may_be_set(place: Place) -> None:
    assert "no AWS credentials were found" in place.refusal()
    assert "AWS_EC2_METADATA_DISABLED" in place.refusal()


# The region


def test_the_region_comes_from_the_configuration_the_environment_or_the_profile(place: Place) -> None:
    def region(**written: Any) -> str:
        return region_of(AwsSettings(**written), where, place.machine)

    with pytest.raises(ConfigError, match=r"aws\.region: missing; set it, as 'eu-west-1'"):
        region()
    place.files(config="[default]\nregion = eu-west-1\n[profile work]\nregion = eu-west-2\n")
    assert region() == "eu-west-1"
    assert region(profile="work") == "eu-west-2"
    place.environment["AWS_DEFAULT_REGION"] = "eu-west-3"
    assert region() == "eu-west-3"
    place.environment["AWS_REGION"] = "eu-north-1"
    assert region() == "eu-north-1"
    assert region(region="us-west-2") == "us-west-2"
    with pytest.raises(ConfigError, match="name of an AWS region"):
        region(region="evil.example/")
    place.environment["AWS_REGION"] = "evil.example/"
    with pytest.raises(ConfigError, match=r"environment: AWS_REGION: .*name of an AWS region"):
        region()


# Shared files


def test_the_files_may_be_elsewhere(place: Place, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(
        "[default]\naws_access_key_id = AKIAELSE\naws_secret_access_key = s\n"
    )
    place.environment["AWS_SHARED_CREDENTIALS_FILE"] = "~/elsewhere"
    assert place.access_key() == "AKIAELSE"


def test_keys_in_the_config_file_are_read_too_and_the_credentials_file_wins(place: Place) -> None:
    config = "[default]\naws_access_key_id = AKIACONF\naws_secret_access_key = s\ns3 =\n  a = b\n"
    place.files(config=config)
    assert place.access_key() == "AKIACONF"
    place.files("[default]\naws_access_key_id = AKIACRED\naws_secret_access_key = s%(x)s\n", config)
    assert place.access_key() == "AKIACRED"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("[profile work]\nrole_arn = r\nsource_profile = none\n", "'none': no such profile in"),
        ("[profile work]\nrole_arn = r\n", "has a role_arn and no source_profile or credential_source"),
        ("[profile work]\nrole_arn = r\nsource_profile = work\n", "leads back to 'work'"),
        (
            "[profile work]\nrole_arn = r\nsource_profile = b\n[profile b]\nrole_arn = r\nsource_profile = work\n",
            "leads back to 'work'",
        ),
        (
            "[profile work]\nrole_arn = r\nsource_profile = b\n[profile b]\nregion = x\n",
            "its role is assumed with 'b', which has no keys",
        ),
        (
            "[profile work]\nrole_arn = r\ncredential_source = Environment\n",
            "its role is assumed with 'Environment', which has no keys",
        ),
        ("[profile work]\nrole_arn = r\nmfa_serial = m\nsource_profile = b\n", "needs the code of a device"),
        ("[profile work]\nsso_session = s\nsso_account_id = 1\n", "signs in through IAM Identity Center"),
        ("[profile work]\nregion = eu-west-1\n", "this profile holds no credentials"),
        ("[profile other]\nregion = eu-west-1\n", "'work': no such profile in"),
        ("[profile work]\naws_access_key_id = A\n", "has aws_access_key_id and no aws_secret_access_key"),
        (
            "[profile work]\ncredential_process = 'x\n",
            "credential_process of profile 'work': No closing quotation",
        ),
    ],
)
def test_a_profile_that_gives_no_keys_here_is_refused_with_what_to_do(
    place: Place, config: str, said: str
) -> None:
    place.files(config=config)
    assert said in place.refusal(profile="work")
    place.environment["AWS_PROFILE"] = "work"
    assert said in place.refusal()


def test_what_cannot_be_done_here_has_a_way_by_way_of_a_program(place: Place) -> None:
    place.files(config="[profile work]\nsso_session = s\n")
    assert "credential_process = aws configure export-credentials --profile work" in place.refusal(
        profile="work"
    )


@pytest.mark.parametrize("content", [f"aws_secret_access_key = {SECRET}\n", f"[default]\n{SECRET}\n"])
def test_a_file_that_cannot_be_read_is_named_without_what_it_holds(place: Place, content: str) -> None:
    place.files(content)
    said = place.refusal()
    assert "credentials: cannot be read as AWS's shared file, line" in said


def test_a_file_that_is_no_text_is_named(place: Place) -> None:
    place.files()
    (place.home / ".aws" / "credentials").write_bytes(b"\xff\xfe")
    assert "is not text in UTF-8" in place.refusal()


# A program


def program(place: Place, source: str) -> None:
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(source)}"
    place.files(config=f"[default]\ncredential_process = {command}\n")


def test_a_program_gives_keys(place: Place) -> None:
    answer = {
        "Version": 1,
        "AccessKeyId": "ASIAPROC",
        "SecretAccessKey": "s",
        "SessionToken": "t",
        "Expiration": END,
    }
    program(place, f"print({json.dumps(answer)!r})")
    lines = place.lines()
    assert "Credential=ASIAPROC/" in lines["authorization"]
    assert lines["x-amz-security-token"] == "t"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import sys; sys.exit('log in first')", "ended with 1: log in first"),
        ("print('no json')", "the answer is not a JSON object"),
        ("print('[]')", "the answer is not a JSON object"),
        ("print('{\"Version\": 2}')", "version 2 of its output is not known"),
        ('print(\'{"Version": 1, "AccessKeyId": "a"}\')', "no keys in its answer"),
        (
            f'print(\'{{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "{SECRET}", "Expiration": "soon"}}\')',
            "the expiration 'soon' is not a time",
        ),
    ],
)
def test_a_program_that_gives_none_is_named_with_what_it_said(place: Place, source: str, said: str) -> None:
    program(place, source)
    text = place.refusal()
    assert text.startswith("AWS credentials from credential_process of profile 'default': ")
    assert said in text


def test_a_program_that_is_not_there_is_named(place: Place) -> None:
    place.files(config="[default]\ncredential_process = /nowhere/at/all\n")
    assert "cannot start '/nowhere/at/all': No such file" in place.refusal()


# Web identity


@pytest.fixture
def pod(place: Place, upstream: Upstream, tmp_path: Path) -> Place:
    (tmp_path / "token").write_text("jwt-1\n")
    place.environment |= {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
        "AWS_ENDPOINT_URL_STS": upstream.url,
    }
    upstream.answer = lambda _: whole(STS.encode())
    return place


def test_a_pod_changes_its_token_for_keys(pod: Place, upstream: Upstream) -> None:
    lines = pod.lines()
    assert "Credential=ASIASTS/" in lines["authorization"]
    assert lines["x-amz-security-token"] == "sts-token"
    [request] = upstream.received
    assert parse_qs(request.body.decode()) == {
        "Action": ["AssumeRoleWithWebIdentity"],
        "Version": ["2011-06-15"],
        "RoleArn": ["arn:aws:iam::1:role/r"],
        "RoleSessionName": ["trimtab"],
        "WebIdentityToken": ["jwt-1"],
    }


def test_a_profile_may_hold_a_web_identity(pod: Place) -> None:
    token = pod.environment.pop("AWS_WEB_IDENTITY_TOKEN_FILE")
    del pod.environment["AWS_ROLE_ARN"]
    pod.files(config=f"[default]\nrole_arn = arn:x\nweb_identity_token_file = {token}\n")
    assert pod.access_key() == "ASIASTS"


def test_a_role_that_does_not_trust_the_pod_is_said_with_the_reason(pod: Place, upstream: Upstream) -> None:
    answer = (
        b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized to perform</Message></Error>"
    )
    upstream.answer = lambda _: whole(answer, status=b"403 Forbidden")
    text = pod.refusal()
    assert "STS answered 403 AccessDenied: Not authorized to perform; check the role" in text
    assert "jwt-1" not in text


def test_a_token_file_that_is_not_there_is_said(pod: Place) -> None:
    pod.environment["AWS_WEB_IDENTITY_TOKEN_FILE"] = "/nowhere"
    assert "the web identity token: /nowhere: cannot read the file" in pod.refusal()


def test_a_token_never_goes_to_sts_in_the_clear(pod: Place) -> None:
    pod.environment["AWS_ENDPOINT_URL_STS"] = "http://sts.example"
    assert "AWS_ENDPOINT_URL_STS: 'sts.example': must be https" in pod.refusal()


# A role by way of other keys

KEYS_FILE = f"[base]\naws_access_key_id = AKIABASE\naws_secret_access_key = {SECRET}\n"


def role(place: Place, upstream: Upstream, more: str = "source_profile = base") -> None:
    place.files(KEYS_FILE, f"[default]\nrole_arn = arn:aws:iam::1:role/r\nexternal_id = x-1\n{more}\n")
    place.environment["AWS_ENDPOINT_URL_STS"] = upstream.url
    upstream.answer = lambda _: whole(STS.encode())


def test_a_role_is_assumed_with_the_keys_of_another_profile(place: Place, upstream: Upstream) -> None:
    role(place, upstream)
    assert place.access_key() == "ASIASTS"
    [request] = upstream.received
    signed_by(request, SECRET, "sts", "eu-west-1")
    assert parse_qs(request.body.decode()) == {
        "Action": ["AssumeRole"],
        "Version": ["2011-06-15"],
        "RoleArn": ["arn:aws:iam::1:role/r"],
        "RoleSessionName": ["trimtab"],
        "ExternalId": ["x-1"],
    }


def test_a_role_may_be_assumed_with_the_profiles_own_keys(place: Place, upstream: Upstream) -> None:
    role(place, upstream, "source_profile = default\naws_access_key_id = AKIAOWN\naws_secret_access_key = s")
    assert place.access_key() == "ASIASTS"
    assert b"Credential=AKIAOWN/" in upstream.received[0].values(b"authorization")[0]


def test_a_role_may_be_assumed_with_keys_of_the_environment_or_the_container(
    place: Place, upstream: Upstream
) -> None:
    role(place, upstream, "credential_source = Environment")
    environment_keys(place)
    assert place.access_key(profile="default") == "ASIASTS"
    assert b"Credential=AKIAENV/" in upstream.received[0].values(b"authorization")[0]


def test_a_role_may_be_assumed_with_a_role(place: Place, upstream: Upstream) -> None:
    role(place, upstream, "source_profile = middle\n[profile middle]\nrole_arn = m\nsource_profile = base")
    assert place.access_key() == "ASIASTS"
    assert [parse_qs(request.body.decode())["RoleArn"] for request in upstream.received] == [
        ["m"],
        ["arn:aws:iam::1:role/r"],
    ]
    signed_by(upstream.received[1], "sts-secret", "sts", "eu-west-1", token="sts-token")


def test_authorities_that_cannot_be_read_refuse_calls_with_the_reason(pod: Place) -> None:
    pod.environment["AWS_ENDPOINT_URL_STS"] = "https://127.0.0.1:1"
    pod.environment["AWS_CA_BUNDLE"] = "/nowhere.pem"
    assert "No such file" in pod.refusal()


# The container endpoint


def test_a_container_asks_its_endpoint_with_its_token(
    place: Place, upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("pod-token\n")
    container(place, upstream, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(tmp_path / "token"))
    lines = place.lines()
    assert "Credential=ASIACON/" in lines["authorization"]
    assert lines["x-amz-security-token"] == "con-token"
    [request] = upstream.received
    assert request.target == b"/v1/credentials?a=b"
    assert request.values(b"authorization") == [b"pod-token"]


def test_a_container_may_have_its_token_in_the_environment(place: Place, upstream: Upstream) -> None:
    container(place, upstream, AWS_CONTAINER_AUTHORIZATION_TOKEN="env-token")
    place.lines()
    assert upstream.received[0].values(b"authorization") == [b"env-token"]


def test_a_containers_token_never_goes_to_another_host_in_the_clear(place: Place) -> None:
    place.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://evil.example/x"
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI: 'evil.example': must be https" in place.refusal()
    place.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "no url"
    assert "must be a URL" in place.refusal()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"no", "the answer is not a JSON object"),
        ({"Code": "AccessDenied", "Message": "no role"}, "no role"),
        ({"AccessKeyId": "a\r\nx", "SecretAccessKey": "s"}, "a key holds characters"),
        (b"{" + b" " * 300_000, "its answer is over"),
    ],
)
def test_an_endpoint_that_gives_no_keys_is_named(
    place: Place, upstream: Upstream, answer: Any, said: str
) -> None:
    container(place, upstream, answer)
    text = place.refusal()
    assert text.startswith("AWS credentials from the container endpoint 127.0.0.1:")
    assert said in text


# Instance metadata


def metadata(request: Received) -> list[bytes | None]:
    if request.target == b"/latest/api/token":
        assert request.values(b"x-aws-ec2-metadata-token-ttl-seconds")
        return [*whole(b"imds-token")]
    assert request.values(b"x-aws-ec2-metadata-token") == [b"imds-token"]
    if request.target == b"/latest/meta-data/iam/security-credentials/":
        return [*whole(b"my role\n")]
    assert request.target == b"/latest/meta-data/iam/security-credentials/my%20role"
    found = {
        "Code": "Success",
        "AccessKeyId": "ASIAIMDS",
        "SecretAccessKey": "s",
        "Token": "t",
        "Expiration": END,
    }
    return [*whole(json.dumps(found).encode())]


@pytest.fixture
def instance(place: Place, upstream: Upstream) -> Place:
    del place.environment["AWS_EC2_METADATA_DISABLED"]
    place.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = upstream.url
    upstream.answer = metadata
    return place


def test_an_instance_asks_its_metadata_by_version_2(instance: Place) -> None:
    lines = instance.lines()
    assert "Credential=ASIAIMDS/" in lines["authorization"]
    assert lines["x-amz-security-token"] == "t"


def test_an_instance_without_a_role_is_said_with_what_to_set(instance: Place, upstream: Upstream) -> None:
    upstream.answer = lambda request: (
        metadata(request) if b"token" in request.target else whole(b"", status=b"404 Not Found")
    )
    assert instance.refusal().endswith("this instance has no role)")
    assert "set access_key_id and secret_access_key" in instance.refusal()


def test_a_machine_that_is_no_instance_is_said_with_what_to_set(instance: Place) -> None:
    with socket.socket() as nobody:  # bound, and not listening
        nobody.bind(("127.0.0.1", 0))
        instance.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = (
            f"http://127.0.0.1:{nobody.getsockname()[1]}"
        )
        text = instance.refusal()
    assert text.startswith("no AWS credentials were found: set access_key_id")
    assert "cannot connect" in text
