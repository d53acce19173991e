"""Every name that dashboards, alerts, trace searches and log filters rely on; nowhere else are such names written.

What it is not: behaviour. Invariant: no label and no attribute holds message content or a value that a caller can
invent at will, except where its description says so. docs/operations.md lists what is here; a test compares them.
"""

from typing import Final, Literal

import msgspec


class Instrument(msgspec.Struct, frozen=True):
    """One metric."""

    name: str
    """Without the `_total` that counters end in when they are read."""
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    """What one unit of it is; one sentence."""
    labels: tuple[str, ...] = ()

    @property
    def exposed(self) -> str:
        """The name to write in a query (of a histogram: the stem of `_bucket`, `_sum` and `_count`)."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


# --- Metrics: requests and money ---

REQUESTS: Final = Instrument(
    "trimtab_requests",
    "counter",
    "Requests answered, by what served them.",
    ("endpoint", "model", "platform", "result", "simulated"),
)
REQUEST_SECONDS: Final = Instrument(
    "trimtab_request_seconds",
    "histogram",
    "From the arrival of a request to the end of its answer.",
    ("endpoint", "stream"),
)
FIRST_CONTENT_SECONDS: Final = Instrument(
    "trimtab_first_content_seconds",
    "histogram",
    "From sending upstream to the first content event of a stream.",
)
IN_FLIGHT: Final = Instrument("trimtab_in_flight_requests", "gauge", "Requests being answered now.")
TOKENS: Final = Instrument(
    "trimtab_tokens",
    "counter",
    "Tokens as the platforms reported them.",
    ("model", "kind", "simulated"),
)
COST_USD: Final = Instrument(
    "trimtab_cost_usd",
    "counter",
    "Cost of all attempts in US dollars, estimates included.",
    ("model", "platform", "source", "simulated"),
)
HELD_USD: Final = Instrument("trimtab_held_usd", "gauge", "Reserved for calls in flight, in US dollars.")
HELD_SIMULATED_USD: Final = Instrument(
    "trimtab_held_simulated_usd", "gauge", "Reserved for simulated calls in flight; no real money."
)
LIMITS_REFUSED: Final = Instrument(
    "trimtab_limits_refused",
    "counter",
    "Requests refused by the limits of their key: `rate` (429), `budget` (402), or `unchecked` (503) when the slice "
    "in hand was used up and the store was away.",
    ("limit",),
)

# --- Metrics: keys ---

KEYS_REFUSED: Final = Instrument(
    "trimtab_keys_refused", "counter", "Requests refused because the key they showed opens nothing."
)
KEYS_AGE_SECONDS: Final = Instrument(
    "trimtab_keys_age_seconds",
    "gauge",
    "How long ago the keys in memory were last compared with the store; above 2 a revoked key may still work.",
)

# --- Metrics: platforms ---

ATTEMPTS: Final = Instrument(
    "trimtab_attempts",
    "counter",
    "Calls to platforms, but those that count tokens, by how they ended.",
    ("model", "platform", "account", "ending", "simulated"),
)
BREAKERS_OPEN: Final = Instrument(
    "trimtab_breakers_open",
    "gauge",
    "Worker processes that send no call there, or one that tries, because calls there failed.",
    ("model", "platform", "account"),
)
PLACES_LIMITED: Final = Instrument(
    "trimtab_places_limited",
    "gauge",
    "Worker processes that send no call there until its rate limit has room again.",
    ("model", "platform", "account"),
)
RATE_LIMIT_LEFT: Final = Instrument(
    "trimtab_rate_limit_left_ratio",
    "gauge",
    "The part of the rate limit that is left, 0 to 1, as the platform told the worker process that knows of the least.",
    ("model", "platform", "account"),
)
UPSTREAM_ERRORS: Final = Instrument(
    "trimtab_upstream_errors",
    "counter",
    "Attempts that ended without a proper answer, by what broke.",
    ("platform", "kind"),
)
INVALID_STREAMS: Final = Instrument(
    "trimtab_invalid_streams",
    "counter",
    "Upstream streams that broke the event rules (counted in debug mode only).",
)

# --- Metrics: answers that are judged ---

JUDGED: Final = Instrument(
    "trimtab_judged_requests",
    "counter",
    "Requests with an answer that verifiers judged, by what they came to on the answer that was given: `accept`, "
    "`escalate`, `unsure`, or `none` where that one was not judged.",
    ("says", "simulated"),
)
STEPS: Final = Instrument(
    "trimtab_cascade_steps",
    "counter",
    "Steps of requests that were judged, by what the verifiers came to on their answers; `none`: there was no answer "
    "to judge.",
    ("model", "step", "says", "simulated"),
)
ESCALATIONS: Final = Instrument(
    "trimtab_escalations",
    "counter",
    "Further steps of cascades, by what the step before came to: `escalate`, `unsure`, or `none`.",
    ("because", "simulated"),
)
VERDICTS: Final = Instrument(
    "trimtab_verdicts",
    "counter",
    "What verifiers said of answers; `failed`: it is unsure because it crashed or ran out of time.",
    ("verifier", "says", "simulated"),
)
HELD_BACK_SECONDS: Final = Instrument(
    "trimtab_held_back_seconds",
    "histogram",
    "Of answers that are judged before they go out: from the first call until one was released, all steps and checks "
    "included.",
    ("stream",),
)
CHECK_SECONDS: Final = Instrument(
    "trimtab_check_seconds", "histogram", "How long a verifier took to judge one answer.", ("verifier",)
)
CHECKS_USD: Final = Instrument(
    "trimtab_checks_usd",
    "counter",
    "Cost of the calls that verifiers made, in US dollars; they are in `trimtab_cost_usd_total` too.",
    ("verifier", "simulated"),
)
SANDBOX_RUNS: Final = Instrument(
    "trimtab_sandbox_runs", "counter", "Runs of code in the sandbox, by how they ended.", ("ended",)
)

# --- Metrics: records ---

STORE_WRITABLE: Final = Instrument(
    "trimtab_store_writable", "gauge", "1 while the last try to write records succeeded, else 0."
)
RECORDS_QUEUED: Final = Instrument("trimtab_records_queued", "gauge", "Records waiting to be written.")
RECORDS_SPILLED: Final = Instrument(
    "trimtab_records_spilled", "gauge", "Records that found no room in memory and wait in the journal."
)
RECORDS_WRITTEN: Final = Instrument("trimtab_records_written", "counter", "Records written.")
RECORDS_DROPPED: Final = Instrument(
    "trimtab_records_dropped", "counter", "Records folded into gaps; their money is kept."
)

CONTENT_KEPT: Final = Instrument(
    "trimtab_content_kept",
    "counter",
    "Requests of which prompt and answer were kept, as `content.keep` says.",
)
CONTENT_DROPPED: Final = Instrument(
    "trimtab_content_dropped",
    "counter",
    "Requests whose content should have been kept and was not: there was no room in memory, or the store was away.",
)
CONTENT_WAITING_BYTES: Final = Instrument(
    "trimtab_content_waiting_bytes",
    "gauge",
    "Prompts and answers in memory: those of calls in flight and those that wait to be written.",
)
CACHE_ANSWERS: Final = Instrument(
    "trimtab_cache_answers",
    "counter",
    "Requests that an earlier answer would do for: it was given again (`hit`) or not there (`miss`).",
    ("result", "simulated"),
)
CACHE_SAVED_USD: Final = Instrument(
    "trimtab_cache_saved_usd",
    "counter",
    "What answers that were given again cost the first time, in US dollars.",
    ("simulated",),
)
CACHE_KEPT: Final = Instrument("trimtab_cache_kept", "counter", "Answers kept to be given again.")
CACHE_DROPPED: Final = Instrument(
    "trimtab_cache_dropped",
    "counter",
    "Answers that should have been kept to be given again and were not: there was no room in memory, or the store was "
    "away.",
)
CACHE_TROUBLES: Final = Instrument(
    "trimtab_cache_troubles",
    "counter",
    "Earlier answers that the store did not find in time; the requests went on without.",
)
CACHE_WAITING_BYTES: Final = Instrument(
    "trimtab_cache_waiting_bytes",
    "gauge",
    "Answers in memory that are on their way through or wait to be kept.",
)
IMAGES_RESIZED: Final = Instrument(
    "trimtab_images_resized",
    "counter",
    "Images that were resized before they were sent, as `images.policy` says.",
)
IMAGES_REUSED: Final = Instrument(
    "trimtab_images_reused", "counter", "Images whose resized form was still there from an earlier request."
)
IMAGES_LEFT: Final = Instrument(
    "trimtab_images_left",
    "counter",
    "Images that should have been resized and went out as they came: broken, too large, too slow or too many.",
)
RECORDS_DELETED: Final = Instrument(
    "trimtab_records_deleted", "counter", "Records deleted because they were older than `store.keep_days`."
)
CHORE_FAILURES: Final = Instrument(
    "trimtab_chore_failures",
    "counter",
    "Pieces of upkeep of the store that failed; the log says why, and they are tried again.",
)

# --- Metrics: the processes themselves ---

WORKERS: Final = Instrument(
    "trimtab_workers",
    "gauge",
    "Worker processes by state: `running`, `starting`, or `leaving` once they only finish what is in flight.",
    ("state",),
)
WORKERS_MISSING: Final = Instrument(
    "trimtab_workers_missing",
    "gauge",
    "Running workers that did not answer this scrape: of them only the last known counters are in it.",
)
WORKER_RESTARTS: Final = Instrument(
    "trimtab_worker_restarts",
    "counter",
    "Worker processes that ended unasked, or did not take a new configuration, and were started again.",
)
CONFIG_INFO: Final = Instrument(
    "trimtab_config_info", "gauge", "The versions in force; the value is always 1.", ("version", "catalogue")
)
CONFIG_RELOADS: Final = Instrument(
    "trimtab_config_reloads",
    "counter",
    "Configurations read while serving, by result: `applied`, or `refused` and the old one stayed.",
    ("result",),
)
TELEMETRY_DROPPED: Final = Instrument(
    "trimtab_telemetry_dropped",
    "counter",
    "Finished requests that neither the access log nor the traces show, because their queue was full.",
)

METRICS: Final[tuple[Instrument, ...]] = (
    REQUESTS,
    REQUEST_SECONDS,
    FIRST_CONTENT_SECONDS,
    IN_FLIGHT,
    TOKENS,
    COST_USD,
    HELD_USD,
    HELD_SIMULATED_USD,
    LIMITS_REFUSED,
    KEYS_REFUSED,
    KEYS_AGE_SECONDS,
    ATTEMPTS,
    BREAKERS_OPEN,
    PLACES_LIMITED,
    RATE_LIMIT_LEFT,
    UPSTREAM_ERRORS,
    INVALID_STREAMS,
    JUDGED,
    STEPS,
    ESCALATIONS,
    VERDICTS,
    HELD_BACK_SECONDS,
    CHECK_SECONDS,
    CHECKS_USD,
    SANDBOX_RUNS,
    STORE_WRITABLE,
    RECORDS_QUEUED,
    RECORDS_SPILLED,
    RECORDS_WRITTEN,
    RECORDS_DROPPED,
    CONTENT_KEPT,
    CONTENT_DROPPED,
    CONTENT_WAITING_BYTES,
    CACHE_ANSWERS,
    CACHE_SAVED_USD,
    CACHE_KEPT,
    CACHE_DROPPED,
    CACHE_TROUBLES,
    CACHE_WAITING_BYTES,
    IMAGES_RESIZED,
    IMAGES_REUSED,
    IMAGES_LEFT,
    RECORDS_DELETED,
    CHORE_FAILURES,
    WORKERS,
    WORKERS_MISSING,
    WORKER_RESTARTS,
    CONFIG_INFO,
    CONFIG_RELOADS,
    TELEMETRY_DROPPED,
)
"""All of them, in the order of the documentation."""

# --- Span attributes of the OpenTelemetry conventions ---
# Source: open-telemetry/semantic-conventions-genai and the HTTP conventions (2026-11). The generative-AI names are
# still in development, so they are written here and not taken from a package that renames them.

GENAI_OPERATION: Final = "gen_ai.operation.name"
GENAI_PROVIDER: Final = "gen_ai.provider.name"
GENAI_REQUEST_MODEL: Final = "gen_ai.request.model"
GENAI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GENAI_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GENAI_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
"""All input, cached or not, as the convention has it."""
GENAI_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GENAI_CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GENAI_CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
HTTP_METHOD: Final = "http.request.method"
HTTP_ROUTE: Final = "http.route"
HTTP_STATUS: Final = "http.response.status_code"
ERROR_TYPE: Final = "error.type"

# --- Our own span attributes ---

SPAN_REQUEST: Final = "trimtab.request.id"
SPAN_PURPOSE: Final = "trimtab.purpose"
SPAN_RESULT: Final = "trimtab.result"
SPAN_STREAM: Final = "trimtab.stream"
SPAN_TIER: Final = "trimtab.tier"
SPAN_ARM: Final = "trimtab.arm"
SPAN_EFFORT: Final = "trimtab.effort"
SPAN_PLATFORM: Final = "trimtab.platform"
SPAN_ACCOUNT: Final = "trimtab.platform.account"
"""Which key of the entry's pool, by its number."""
SPAN_KEY: Final = "trimtab.key.id"
SPAN_COST_USD: Final = "trimtab.cost_usd"
SPAN_COST_SOURCE: Final = "trimtab.cost_source"
SPAN_FIRST_CONTENT_MS: Final = "trimtab.first_content_ms"
SPAN_PLATFORM_REQUEST: Final = "trimtab.platform_request.id"
SPAN_CONFIG_VERSION: Final = "trimtab.config.version"
SPAN_CATALOGUE_VERSION: Final = "trimtab.catalogue.version"
SPAN_SIMULATED: Final = "trimtab.simulated"
SPAN_STEP: Final = "trimtab.step"
"""Of a cascade, from 1; of the request, the number of its steps. Where an answer was judged only."""
SPAN_VERDICT: Final = "trimtab.verdict"
"""What the verifiers came to on the answer: of a call, or that was given."""
SPAN_CHECKS_USD: Final = "trimtab.checks_usd"

# --- Resource attributes ---

SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
SERVICE_INSTANCE: Final = "service.instance.id"
WORKER: Final = "trimtab.worker"

# --- Fields of a log line in JSON ---

LOG_TIME: Final = "ts"
LOG_LEVEL: Final = "level"
LOG_LOGGER: Final = "logger"
LOG_MESSAGE: Final = "message"
LOG_REQUEST: Final = "request"
LOG_PROCESS: Final = "process"
LOG_WORKER: Final = "worker"
LOG_EXCEPTION: Final = "exception"

LOG_FIELDS: Final = (
    LOG_TIME,
    LOG_LEVEL,
    LOG_LOGGER,
    LOG_MESSAGE,
    LOG_REQUEST,
    LOG_PROCESS,
    LOG_WORKER,
    LOG_EXCEPTION,
)

# --- Fields of an access line, besides those of every log line ---

ACCESS_LOGGER: Final = "trimtab.access"

ACCESS_KEY: Final = "key"
ACCESS_METHOD: Final = "method"
ACCESS_PATH: Final = "path"
ACCESS_ENDPOINT: Final = "endpoint"
ACCESS_REQUESTED_MODEL: Final = "requested_model"
"""What the client named: a value that a caller invents, cut to 80 characters."""
ACCESS_MODEL: Final = "model"
ACCESS_ARM: Final = "arm"
ACCESS_PLATFORM: Final = "platform"
ACCESS_ATTEMPTS: Final = "attempts"
"""Calls to platforms that the request made."""
ACCESS_STATUS: Final = "status"
ACCESS_RESULT: Final = "result"
ACCESS_ERROR: Final = "error_type"
ACCESS_COST_USD: Final = "cost_usd"
ACCESS_COST_SOURCE: Final = "cost_source"
ACCESS_INPUT_TOKENS: Final = "input_tokens"
ACCESS_OUTPUT_TOKENS: Final = "output_tokens"
ACCESS_STEPS: Final = "steps"
"""Of a cascade; null where no answer was judged."""
ACCESS_VERDICT: Final = "verdict"
"""What verifiers came to on the answer that was given: `accept`, `escalate` or `unsure`; null where none judged it."""
ACCESS_CHECKS_USD: Final = "checks_usd"
"""What the calls of verifiers cost, which have records and lines of their own."""
ACCESS_STREAM: Final = "stream"
ACCESS_TOTAL_MS: Final = "total_ms"
ACCESS_SIMULATED: Final = "simulated"

ACCESS_FIELDS: Final = (
    ACCESS_METHOD,
    ACCESS_PATH,
    ACCESS_ENDPOINT,
    ACCESS_KEY,
    ACCESS_REQUESTED_MODEL,
    ACCESS_MODEL,
    ACCESS_ARM,
    ACCESS_PLATFORM,
    ACCESS_ATTEMPTS,
    ACCESS_STATUS,
    ACCESS_RESULT,
    ACCESS_ERROR,
    ACCESS_COST_USD,
    ACCESS_COST_SOURCE,
    ACCESS_INPUT_TOKENS,
    ACCESS_OUTPUT_TOKENS,
    ACCESS_STEPS,
    ACCESS_VERDICT,
    ACCESS_CHECKS_USD,
    ACCESS_STREAM,
    ACCESS_TOTAL_MS,
    ACCESS_SIMULATED,
)
