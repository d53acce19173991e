"""What a catalogue row holds: one model with its limits, dated prices, abilities and life cycle.

What it is not: prices for a usage (`pricing`) or the files the rows come from (`reading`).
Invariant: every struct refuses fields it does not know, so a misspelt key never passes unread.
"""

import datetime
from decimal import Decimal
from typing import Annotated, Literal, get_args

import msgspec

from trimtab.catalogue.arm import EFFORTS, Effort

Platform = Literal[
    "anthropic",
    "anthropic_on_aws",
    "bedrock",
    "bedrock_mantle",
    "bedrock_converse",
    "vertex",
    "foundry",
    "openai",
    "simulator",
]
"""Bedrock has three ways in, which differ in what they take: InvokeModel, its Messages endpoint ("mantle"), Converse.
`openai` is any server that speaks the OpenAI API."""

PLATFORMS: tuple[Platform, ...] = get_args(Platform)

Seller = Literal["anthropic", "anthropic_on_aws", "bedrock", "vertex", "foundry", "openai", "simulator"]
"""Who has prices of their own: a platform, whatever the way in."""


def seller(platform: Platform) -> Seller:
    """Whose prices hold on a platform."""
    return "bedrock" if platform == "bedrock_mantle" or platform == "bedrock_converse" else platform


_PLAIN_ID_PLATFORMS = frozenset(("anthropic", "anthropic_on_aws", "simulator"))

Tokenizer = Literal["v3", "v4.7", "v4.7-family", "v4.8"]
"""`v3`: Claude 3 to 4.6. `v4.7`: denser. `v4.8`: the vocabulary of v4.7. `v4.7-family`: believed the same.
Source: measured with an offline reconstruction (docs/catalogue.md)."""

Vision = Literal["none", "standard", "high"]

Tokens = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\s+@]+$")]


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What all rows share: frozen, named fields only, nothing unknown."""


class PlatformIds(_Row, frozen=True):
    """Ids on the platforms that do not use the catalogue id itself; `None` where it is not served."""

    bedrock: str | None = None
    bedrock_profiles: tuple[str, ...] = ()
    """Inference-profile prefixes (`us`, `global` ...); newer models need one, and some are not recorded."""
    bedrock_mantle: str | None = None
    """Id on the Messages endpoint of Bedrock, which serves Claude 4.7 and later, and Haiku 4.5."""
    bedrock_api_versions: tuple[str, ...] | None = None
    """Values of `anthropic-version` that Bedrock takes for it; `None`: any that the vendor knows."""
    vertex: str | None = None
    foundry: str | None = None
    """Default deployment name; an operator may have chosen another."""
    foundry_hosting: Literal["anthropic_only"] | None = None


class Limits(_Row, frozen=True):
    """Sizes in tokens."""

    context: Tokens
    max_output: Tokens


class FastPrice(_Row, frozen=True):
    """Prices of `speed: "fast"`, USD per million tokens; cache rates rise by the same factor as input."""

    input: Decimal
    output: Decimal
    until: datetime.date | None = None
    """Last day on which fast mode is sold; afterwards the standard price applies."""


class LongPrompt(_Row, frozen=True):
    """A dearer rate for the whole request once its prompt is longer than a threshold."""

    above_tokens: Tokens
    """Prompt tokens (input + cache writes + cache reads) up to which the plain rates hold."""
    input_factor: Decimal
    """Factor on input, cache writes and cache reads."""
    output_factor: Decimal


class PriceRow(_Row, frozen=True):
    """List prices from one day on, USD per million tokens."""

    effective_from: datetime.date
    """First day, UTC."""
    input: Decimal
    output: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    cache_read: Decimal
    batch_input: Decimal | None = None
    """`None`: half of `input`, the vendor's general rule."""
    batch_output: Decimal | None = None
    fast: FastPrice | None = None
    long_prompt: LongPrompt | None = None
    platform: Seller | None = None
    """The only platform on which the row holds; `None` holds on all."""


class Thinking(_Row, frozen=True):
    """Which `thinking` values the model takes. `up_to_high`: refused at effort xhigh and max."""

    adaptive: bool = False
    enabled: Literal["accepted", "deprecated", "rejected"] = "rejected"
    """`{type: enabled, budget_tokens}`; `deprecated` still works."""
    disabled: Literal["accepted", "up_to_high", "rejected"] = "accepted"
    between_tools: Literal["up_to_high", "rejected"] = "rejected"
    default: Literal["none", "disabled", "adaptive", "always"] = "none"
    """What happens without a `thinking` field. `none`: the model does not think; `always`: it cannot stop."""
    display: Literal["summarized", "omitted"] | None = None
    """Default of `thinking.display`."""
    prior_turns: Literal["kept"] | None = None
    """Whether thinking of earlier turns stays in the context; `None`: not recorded."""

    @property
    def supported(self) -> bool:
        """Whether the model can think at all."""
        return self.adaptive or self.enabled != "rejected"


class EffortAbility(_Row, frozen=True):
    """Effort levels that the model takes, least first, and the one it uses when none is sent."""

    levels: tuple[Effort, ...] = ()
    default: Effort | None = None


class Accepts(_Row, frozen=True):
    """Request features that some models refuse."""

    sampling: Literal["reject", "one", "both"] = "both"
    """`one`: temperature or top_p, not both, and none on API version 2026-10-21."""
    prefill: bool = False
    """A trailing assistant message."""


class Cutoff(_Row, frozen=True):
    """Months as `YYYY-MM`."""

    knowledge: str | None = None
    training: str | None = None


class Lifecycle(_Row, frozen=True):
    """Where the model stands on the vendor's own API, and when that changes."""

    status: Literal["active", "active_legacy", "deprecated", "retired"] = "active"
    """As of the catalogue's date."""
    released: datetime.date | None = None
    deprecated: datetime.date | None = None
    retires_not_before: datetime.date | None = None
    retires: datetime.date | None = None
    """First day on which calls fail."""
    platform_retires: dict[str, datetime.date] = {}
    """Other dates on other platforms, by platform name."""


class ToolTokens(_Row, frozen=True):
    """Input tokens added as soon as any tool is present, by `tool_choice`."""

    auto_none: Tokens
    any_tool: Tokens


class Features(_Row, frozen=True):
    """Abilities beyond the plain call. `None` means not recorded, not absent."""

    task_budgets: bool | None = None
    fast_mode: Literal["sold", "error", "silently_standard", "none"] | None = None
    """`silently_standard`: accepted, but runs and bills at the standard speed."""
    mid_conversation_system: Literal["accepted", "ignored", "rejected"] | None = None
    computer_tool: tuple[str, ...] = ()
    text_editor: tuple[str, ...] = ()
    """Versions of the text editor tool, newest first."""
    structured_outputs: bool | None = None
    inference_geo: bool | None = None
    batch_max_output: Tokens | None = None
    prompt_cache_min: Tokens | None = None
    """Shortest prompt prefix that is cached, in tokens."""
    forced_tool_choice: (
        Literal["accepted", "rejected", "not_with_enabled", "bedrock_needs_disabled"] | None
    ) = None
    binds_thinking_blocks: Literal["no", "new_accounts_since_2026-08-31", "all_accounts"] | None = None
    tool_tokens: ToolTokens | None = None
    itpm_counts_cache_reads: bool | None = None
    citations: bool | None = None
    pdf_input: bool | None = None
    web_search: bool | None = None
    code_execution: bool | None = None
    """The code execution tool."""
    programmatic_tools: bool | None = None
    """Code in the code execution tool may call the request's other tools."""
    context_management: tuple[str, ...] | None = None
    """Strategies that `context_management.edits` takes."""


class Model(_Row, frozen=True, kw_only=True):
    """One model. Only `id`, `limits` and `prices` must be given; see docs/catalogue.md for each key."""

    id: Name
    name: str = ""
    """For people; empty means the id."""
    line: str | None = None
    """`opus`, `sonnet`, `haiku`, `fable`, `mythos`, or an operator's own."""
    aliases: tuple[Name, ...] = ()
    availability: Literal["general", "invitation", "verified_organisations"] = "general"
    ids: PlatformIds = PlatformIds()
    limits: Limits
    shared_bucket: Name | None = msgspec.field(default=None, name="rate_bucket")
    """The rate limit that it draws on together with other models on the vendor's own API; `None`: one of its own."""
    prices: Annotated[tuple[PriceRow, ...], msgspec.Meta(min_length=1)]
    """In any order; each holds from its `effective_from` until the next."""
    thinking: Thinking = Thinking()
    effort: EffortAbility = EffortAbility()
    vision: Vision = "none"
    tokenizer: Tokenizer = "v4.7"
    """For a model that is not Claude the densest one is assumed, so that estimates stay on the safe side."""
    latency: Literal["fastest", "fast", "moderate", "slower"] | None = None
    """The vendor's words, not a measurement."""
    accepts: Accepts = Accepts()
    cutoff: Cutoff = Cutoff()
    lifecycle: Lifecycle = Lifecycle()
    features: Features = Features()
    unverified: tuple[str, ...] = ()
    """Key paths with one source, sources in conflict, or a value formed by pattern."""
    notes: tuple[str, ...] = ()

    @property
    def display_name(self) -> str:
        """The name for people."""
        return self.name or self.id

    @property
    def rate_bucket(self) -> str:
        """Names the rate limit that it draws on, on the vendor's own API."""
        return self.shared_bucket or self.id

    def rate_bucket_on(self, platform: str) -> str:
        """Names the rate limit that it draws on there: clouds keep one for each model."""
        return self.rate_bucket if platform in _PLAIN_ID_PLATFORMS else self.id

    @property
    def effort_levels(self) -> tuple[Effort, ...]:
        """Effort levels that the model takes, least first; empty when it takes none."""
        return tuple(level for level in EFFORTS if level in self.effort.levels)

    @property
    def default_effort(self) -> Effort | None:
        """The effort that the model uses when none is sent."""
        return self.effort.default

    def accepts_effort(self, effort: Effort) -> bool:
        """Whether `output_config.effort` may hold this level."""
        return effort in self.effort.levels

    def platform_id(self, platform: str) -> str | None:
        """What the platform calls this model; `None` where it is not known to be served."""
        if platform in _PLAIN_ID_PLATFORMS:
            return self.id
        if platform in ("bedrock", "bedrock_converse"):
            return self.ids.bedrock
        if platform == "bedrock_mantle":
            return self.ids.bedrock_mantle
        if platform == "vertex":
            return self.ids.vertex
        return self.ids.foundry if platform == "foundry" else None

    def api_versions(self, platform: str, spoken: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the API versions that a platform speaks which it takes for this model, in the same order."""
        taken = self.ids.bedrock_api_versions
        if taken is None or not platform.startswith("bedrock"):
            return spoken
        return tuple(version for version in spoken if version in taken) or spoken

    def retired_on(self, day: datetime.date) -> bool:
        """Whether calls to the vendor's own API fail on that day, by the dates we know."""
        if self.lifecycle.retires is not None:
            return day >= self.lifecycle.retires
        return self.lifecycle.status == "retired"

    def status_on(self, day: datetime.date) -> Literal["active", "deprecated", "retired"]:
        """The vendor's three-valued life-cycle word for that day, by the dates we know."""
        if self.retired_on(day):
            return "retired"
        if self.lifecycle.deprecated is not None:
            return "deprecated" if day >= self.lifecycle.deprecated else "active"
        return "deprecated" if self.lifecycle.status == "deprecated" else "active"

    def days_left(self, day: datetime.date) -> int | None:
        """Days until the known retirement date; `None` where none is announced."""
        return None if self.lifecycle.retires is None else (self.lifecycle.retires - day).days
