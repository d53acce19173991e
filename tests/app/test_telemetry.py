"""Settings, gateway, access log and collector together."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving_harness import ASK, EVENTS, SSE_HEAD, VERSION, chunk, run, site, take_request, upstream
from telemetry_collector import Collector, attributes, collecting

from trimtab.app import load_settings
from trimtab.app.telemetry import start_logging
from trimtab.errors import ConfigError
from trimtab.telemetry import names
from trimtab.telemetry.tracing import parse_traceparent, span_id_of, trace_id_of

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
WITH_PARENT = VERSION + b"traceparent: " + PARENT.encode() + b"\r\n"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("TEST_KEY", "upstream-secret")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as started:
        yield started


def test_a_request_leaves_an_access_line_without_its_words(tmp_path: Path) -> None:
    config = '[telemetry]\nlog_format = "json"\naccess_log = true\n'
    stream = io.StringIO()

    async def work() -> None:
        (tmp_path / "trimtab.toml").write_text(f"version = 1\n{config}")
        output = start_logging(load_settings(tmp_path / "trimtab.toml"), stream)
        try:
            async with site(tmp_path, config) as s:
                _, headers, _ = await s.post(ASK)
                refused, _, _ = await s.post({**ASK, "model": "no-such-model"})
                assert refused == 404
        finally:
            output.close()
        first, second = [json.loads(line) for line in stream.getvalue().splitlines()]
        assert first["logger"] == names.ACCESS_LOGGER
        assert first["request"] == headers["x-trimtab-request"]
        assert first["message"] == "POST /v1/messages"
        assert (first["status"], first["result"], first["simulated"]) == (200, "ok", True)
        assert set(names.ACCESS_FIELDS) <= set(first)
        assert (second["status"], second["requested_model"]) == (404, "no-such-model")
        assert "What is 2 + 2?" not in stream.getvalue()

    run(work)


def test_no_access_line_unless_asked(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            assert s.application.parts.observer is None
            assert (await s.post(ASK))[0] == 200

    run(work)


def test_a_line_logged_during_a_request_carries_its_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stream = io.StringIO()

    async def work() -> None:
        (tmp_path / "trimtab.toml").write_text('version = 1\n[telemetry]\nlog_format = "json"\n')
        output = start_logging(load_settings(tmp_path / "trimtab.toml"), stream)
        try:
            config = '[platforms.claude]\nkind = "anthropic"\napi_key = "env:TEST_KEY"\nbase_url = "http://127.0.0.1:9"\n'
            async with site(tmp_path, config) as s:
                status, headers, _ = await s.post(ASK)
                assert status == 502
        finally:
            output.close()
        (line,) = [json.loads(line) for line in stream.getvalue().splitlines()]
        assert "platform claude fails" in line["message"]
        assert line["request"] == headers["x-trimtab-request"]

    run(work)


def test_a_request_is_traced_to_the_collector(tmp_path: Path, collector: Collector) -> None:
    async def work() -> None:
        async with site(tmp_path, f'[telemetry]\notlp_endpoint = "{collector.url}"\n') as s:
            _, headers, _ = await s.post(ASK, headers=WITH_PARENT)
            request = headers["x-trimtab-request"]
            status, refusal, _ = await s.post(b"{}")
            assert status == 400
        told = {attributes(span).get(names.SPAN_REQUEST): span for span in collector.spans if span.kind == 2}
        assert told[request].trace_id.hex() == PARENT[3:35]
        assert told[request].parent_span_id.hex() == PARENT[36:52]
        assert attributes(told[request])[names.SPAN_SIMULATED] is True
        (client,) = [span for span in collector.spans if span.kind == 3]
        assert client.parent_span_id == told[request].span_id
        assert attributes(client)[names.GENAI_OPERATION] == "chat"
        assert attributes(client)[names.GENAI_OUTPUT_TOKENS] > 0
        refused = told[refusal["x-trimtab-request"]]
        assert refused.trace_id.hex() == f"{trace_id_of(refusal['x-trimtab-request'], None):032x}"
        assert collector.metrics["trimtab_requests"].sum.data_points
        assert not any(b"What is 2 + 2" in body for body in collector.bodies)

    run(work)


@pytest.mark.parametrize("propagate", [False, True])
def test_the_platform_gets_the_clients_trace_context_unless_told_otherwise(
    tmp_path: Path, collector: Collector, propagate: bool
) -> None:
    heads: list[bytes] = []

    async def platform(reader, writer) -> None:  # type: ignore[no-untyped-def]
        head, _ = await take_request(reader)
        heads.append(head)
        writer.write(SSE_HEAD + b"".join(chunk(event) for event in EVENTS) + b"0\r\n\r\n")
        await writer.drain()

    async def work() -> None:
        async with upstream(platform) as platform_config:
            setting = (
                f'[telemetry]\notlp_endpoint = "{collector.url}"\npropagate = {str(propagate).lower()}\n'
            )
            async with site(tmp_path, setting + platform_config) as s:
                status, headers, _ = await s.post({**ASK, "stream": True}, headers=WITH_PARENT)
                assert status == 200
        (sent,) = [
            line for line in heads[0].decode().split("\r\n") if line.lower().startswith("traceparent:")
        ]
        value = sent.partition(": ")[2]
        if not propagate:
            assert value == PARENT
            return
        ours = parse_traceparent(value.encode())
        assert ours is not None
        assert f"{ours.trace_id:032x}" == PARENT[3:35]
        assert ours.span_id == span_id_of(headers["x-trimtab-request"], 0)
        (client,) = [span for span in collector.spans if span.kind == 3]
        assert client.span_id.hex() == f"{ours.span_id:016x}", "the span that the platform was told of exists"

    run(work)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ('log_format = "xml"', "text, json"),
        ('log_level = "loud"', "debug, info, warning, error"),
        ("propagate = true", "set otlp_endpoint too"),
        ('otlp_endpoint = "127.0.0.1:4318"', "http://127.0.0.1:4318"),
        ('otlp_endpoint = "http://"', "http://127.0.0.1:4318"),
        ('otlp_endpoint = "http://c:99999"', "http://127.0.0.1:4318"),
        ('otlp_endpoint = "http://c:4318/v1/traces"', "leave /v1/traces out"),
        ('otlp_endpoint = "http://c:4318?x=1"', "http://127.0.0.1:4318"),
        ('otlp_endpoint = "http://me:hunter22@c:4318"', "OTEL_EXPORTER_OTLP_HEADERS"),
        ("otlp_headers = 1", "telemetry.otlp_headers"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(tmp_path: Path, setting: str, says: str) -> None:
    file = tmp_path / "trimtab.toml"
    file.write_text(f"version = 1\n[telemetry]\n{setting}\n")
    with pytest.raises(ConfigError) as refused:
        load_settings(file)
    assert says in str(refused.value)
    assert "telemetry." in str(refused.value)
    assert "hunter22" not in str(refused.value)


def test_secrets_of_the_configuration_are_hidden_from_the_log(tmp_path: Path) -> None:
    file = tmp_path / "trimtab.toml"
    file.write_text('version = 1\n[platforms.claude]\nkind = "anthropic"\napi_key = "env:TEST_KEY"\n')
    stream = io.StringIO()
    output = start_logging(load_settings(file), stream)
    try:
        logging.getLogger("trimtab.x").error("sent %s", {"x": "upstream-secret"})
    finally:
        output.close()
    assert stream.getvalue() == "trimtab: ERROR sent {'x': '***'}\n"
