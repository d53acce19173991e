"""What a simulated model says: known answers, tool calls, structured output, or plain words about the request.

What it is not: intelligence. Free text says that it is simulated, what it was sent, and how to get real answers.
Invariant: the content depends on seed, model, effort and prompt only; ids are new each time.
"""

import msgspec

from trimtab.providers.simulator.answer import (
    Answer,
    Block,
    CountText,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
    finished,
)
from trimtab.providers.simulator.arithmetic import find_arithmetic, near_miss
from trimtab.providers.simulator.behaviour import Behaviour, draw, unit
from trimtab.providers.simulator.checks.shapes import Raw
from trimtab.providers.simulator.checks.tools import Tool
from trimtab.providers.simulator.ids import Ids
from trimtab.providers.simulator.matching import find_case
from trimtab.providers.simulator.prompt import Prompt
from trimtab.providers.simulator.script import Case, Reply, StopReason
from trimtab.providers.simulator.signatures import Signer
from trimtab.providers.simulator.synthesis import synthesise
from trimtab.providers.simulator.words import free_text, quoted

_SEARCHED_CHARS = 4000
"""Tool names and cases are looked for in the end of the question."""
_MAX_CALLS = 3
_GENERIC = frozenset(
    {
        "tool", "call", "make", "list", "read", "find", "fetch", "write", "data", "with", "from", "into",
        "item", "items", "file", "user", "this", "that", "query", "lookup", "perform", "execute", "process",
        "handle", "create", "update", "delete", "submit", "send",
    }
)  # fmt: skip
"""Words in tool names that do not name the tool."""
_BARE_CUES = (
    "only the number",
    "number only",
    "just the number",
    "only the answer",
    "just the answer",
    "answer only",
)

_CLIENT_INPUTS: dict[str, Raw] = {
    "bash": {"command": "echo simulated"},
    "str_replace_editor": {"command": "view", "path": "/repo/simulated.txt"},
    "str_replace_based_edit_tool": {"command": "view", "path": "/repo/simulated.txt"},
    "memory": {"command": "view", "path": "/memories"},
    "computer": {"action": "screenshot"},
}
"""Inputs of the vendor's client tools, which come without a schema. Source: vendor tool reference (2026-11)."""


class _Known(msgspec.Struct, frozen=True):
    """A task whose answer we know, and the answer that this model gives."""

    text: str
    answer: str
    difficulty: float


class Composer:
    """Writes answers for one simulator."""

    def __init__(
        self, behaviour: Behaviour, seed: int, signer: Signer, ids: Ids, cases: tuple[Case, ...]
    ) -> None:
        self._behaviour = behaviour
        self._seed = seed
        self._signer = signer
        self._ids = ids
        self._cases = cases

    def answer(self, prompt: Prompt, reply: Reply | None, input_tokens: int, count: CountText) -> Answer:
        """The finished answer, within `max_tokens` and the context window."""
        known = self._known(prompt)
        blocks, reason, details = self._content(prompt, reply, known)
        thinking_tokens = 0
        if prompt.thinks and not (reason == "refusal" and not blocks):
            difficulty = known.difficulty if known else 0.0
            thinking_tokens = self._behaviour.thinking_tokens(
                prompt.effort, difficulty, prompt.thinking.budget_tokens
            )
            blocks = [self._thinking(prompt, reply, known), *blocks]
        room = prompt.model.limits.context - input_tokens
        limit = min(prompt.max_tokens, room)
        over: StopReason = "max_tokens" if prompt.max_tokens <= room else "model_context_window_exceeded"
        stops = prompt.raw.get("stop_sequences") or []
        draft = Answer(tuple(blocks), reason, None, details, thinking_tokens)
        answer = finished(draft, stops, limit, over, count)
        if reply is not None and reply.stop_reason is not None:
            answer = msgspec.structs.replace(answer, stop_reason=reply.stop_reason)
        return answer

    def _content(
        self, prompt: Prompt, reply: Reply | None, known: _Known | None
    ) -> tuple[list[Block], StopReason, Raw | None]:
        """(blocks without thinking, stop reason, stop details)."""
        if reply is not None and reply.has_content:
            return self._scripted(reply, prompt)
        calls = self._calls(prompt)
        if calls:
            said: list[Block] = []
            if not prompt.tool_choice.forced:
                names = " and ".join(call.name for call in calls)
                said = [TextBlock(f"Simulated: I call {names} with made-up arguments.")]
            return [*said, *calls], "tool_use", None
        if prompt.schema is not None:
            value = synthesise(prompt.schema, known.answer if known else None)
            return [TextBlock(msgspec.json.encode(value).decode())], "end_turn", None
        if known is not None and not prompt.last_is_results:
            text = known.text
        else:
            text = free_text(prompt, self._behaviour.sentences_of(prompt.effort))
        return [TextBlock(f" {text}" if prompt.prefill else text)], "end_turn", None

    def _scripted(self, reply: Reply, prompt: Prompt) -> tuple[list[Block], StopReason, Raw | None]:
        blocks: list[Block] = [TextBlock(reply.text)] if reply.text else []
        if reply.refusal is not None:
            refusal = reply.refusal
            details = {"type": "refusal", "category": refusal.category, "explanation": refusal.explanation}
            return blocks, "refusal", details
        if reply.pause_turn:
            searched = {"query": quoted(prompt.question, 80) or "simulated"}
            blocks.append(ToolUseBlock(self._ids.next("srvtoolu_01"), "web_search", searched, server=True))
            return blocks, "pause_turn", None
        known = {tool.name: tool for tool in prompt.tools}
        for call in reply.tool_calls:
            toolset = "computer" if call.name not in known and "computer" in known else None
            blocks.append(
                ToolUseBlock(self._ids.next("toolu_01"), call.name, call.input, toolset_name=toolset)
            )
        return blocks, "tool_use" if reply.tool_calls else "end_turn", None

    def _known(self, prompt: Prompt) -> _Known | None:
        """A case of the script, else an arithmetic question, answered right or wrong."""
        question = prompt.question
        case = find_case(self._cases, question.lower()) if self._cases else None
        if case is not None:
            right, bits = self._draw_case(prompt, case)
            answer = case.answer if right else case.wrong[bits % len(case.wrong)]
            return _Known(answer, answer, case.difficulty or 0.0)
        task = find_arithmetic(question)
        if task is None:
            return None
        right, bits = self._draw(prompt, task.difficulty)
        answer = task.answer if right else near_miss(task.answer, bits)
        lowered = question[-_SEARCHED_CHARS:].lower()
        bare = any(cue in lowered for cue in _BARE_CUES)
        return _Known(answer if bare else f"{task.expression} = {answer}", answer, task.difficulty)

    def _draw(self, prompt: Prompt, difficulty: float) -> tuple[bool, int]:
        """(right, random bits) for this model, effort and question."""
        parts = (prompt.model.id, prompt.effort or "", "T" if prompt.thinks else "", prompt.question)
        right = self._behaviour.is_correct(
            prompt.model, prompt.effort, prompt.thinks, difficulty, unit(draw(self._seed, *parts))
        )
        return right, draw(self._seed, "slip", *parts)

    def _draw_case(self, prompt: Prompt, case: Case) -> tuple[bool, int]:
        """The same, where the script says how likely a right answer is, or draws once for all arms."""
        names = (prompt.model.id, str(prompt.raw["model"]), *prompt.model.aliases)
        chance = case.chance_of(names, prompt.effort)
        if chance is None and not case.together:
            return self._draw(prompt, case.difficulty or 0.0)
        arm = () if case.together else (prompt.model.id, prompt.effort or "", "T" if prompt.thinks else "")
        parts = (*arm, prompt.question)
        drawn = unit(draw(self._seed, *parts))
        right = (
            drawn < chance
            if chance is not None
            else self._behaviour.is_correct(
                prompt.model, prompt.effort, prompt.thinks, case.difficulty or 0.0, drawn
            )
        )
        return right, draw(self._seed, "slip", *parts)

    def _thinking(self, prompt: Prompt, reply: Reply | None, known: _Known | None) -> ThinkingBlock:
        thought = reply.thinking if reply is not None else None
        if thought is None:
            looked = "This looks like a task with a known answer. " if known else ""
            thought = f"(Simulated thinking.) The last turn says: “{quoted(prompt.question, 80)}”. {looked}I answer."
        signature = self._signer.sign(prompt.model.id, thought)
        return ThinkingBlock("" if prompt.thinking.display == "omitted" else thought, signature)

    def _calls(self, prompt: Prompt) -> list[ToolUseBlock]:
        """The tool calls to make: forced ones, else those of tools that the question names."""
        choice = prompt.tool_choice
        usable = [tool for tool in prompt.tools if tool.kind != "server" and not tool.deferred]
        if not usable or choice.type == "none":
            return []
        if choice.type == "tool":
            wanted = [tool for tool in prompt.tools if tool.name == choice.name and tool.kind != "server"]
        else:
            question = prompt.question[-_SEARCHED_CHARS:].lower()
            wanted = [tool for tool in usable if _is_named(tool, question)]
            if choice.type == "any":
                wanted = wanted or usable[:1]
            elif prompt.last_is_results:
                return []
        most = _MAX_CALLS if choice.parallel and choice.type != "tool" else 1
        return [self._call(tool) for tool in wanted[:most]]

    def _call(self, tool: Tool) -> ToolUseBlock:
        name = self._ids.next("toolu_01")
        if tool.kind == "toolset":
            return ToolUseBlock(name, "screenshot", {}, toolset_name=tool.name)
        if tool.schema is None:
            return ToolUseBlock(name, tool.name, _CLIENT_INPUTS.get(tool.name, {}))
        made = synthesise(tool.schema)
        return ToolUseBlock(name, tool.name, made if isinstance(made, dict) else {})


def _is_named(tool: Tool, question: str) -> bool:
    """Whether the question holds the tool's name or a telling word of it ("weather" for `get_weather`)."""
    name = tool.name.lower()
    if name in question:
        return True
    words = name.replace("-", "_").split("_")
    return any(len(word) >= 4 and word not in _GENERIC and word in question for word in words)
