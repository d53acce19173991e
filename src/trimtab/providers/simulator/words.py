"""The words of a free-text answer: honest about being simulated, useful about what was received."""

from trimtab.providers.simulator.prompt import Prompt

_QUOTED_CHARS = 120
_RESULT_CHARS = 200
_COUNTED_CHARS = 20_000
_NAMED = 8


def free_text(prompt: Prompt, sentences: int) -> str:
    """At most `sentences` sentences, and one more for each of tool results, images and tools that were sent."""
    effort = f" at effort {prompt.effort}" if prompt.effort else ""
    turns = len(prompt.messages)
    said = [
        "This is a simulated answer: Trimtab's simulator wrote it, and no model was called.",
        _about_question(prompt),
        "For real answers, set ANTHROPIC_API_KEY or configure a platform in trimtab.toml.",
        f"The request asked for {prompt.model.display_name}{effort}.",
        f"It holds {turns} {'message' if turns == 1 else 'messages'} and allows {prompt.max_tokens} output tokens.",
        "Ask me simple arithmetic, such as “17 * 23 = ?”, and I am right or wrong as such a model might be.",
        "Replies, errors and delays can be scripted; see docs/simulator.md.",
    ][:sentences]
    extra = [*_about_results(prompt), *_about_images(prompt), *_about_tools(prompt)]
    return " ".join([said[0], *extra, *said[1:]])


def quoted(text: str, chars: int) -> str:
    """The start of a text on one line."""
    flat = " ".join(text[: chars * 2].split())
    return flat if len(flat) <= chars else flat[: chars - 1] + "…"


def _about_question(prompt: Prompt) -> str:
    question, turn = prompt.question, "Your last turn"
    if not prompt.question_is_last:
        count = len(prompt.tool_results)
        results = f"{count} tool {'result' if count == 1 else 'results'} and no text"
        last = f"Your last turn has {results if count else 'no text'}."
        if not question:
            return last
        turn = f"{last} The last turn with text"
    if len(question) > _COUNTED_CHARS:
        return f"{turn} has {len(question)} characters and starts “{quoted(question, _QUOTED_CHARS)}”."
    words = len(question.split())
    return f"{turn} has {words} {'word' if words == 1 else 'words'}: “{quoted(question, _QUOTED_CHARS)}”."


def _about_results(prompt: Prompt) -> list[str]:
    return [f"The tool said: “{quoted(result, _RESULT_CHARS)}”." for result in prompt.tool_results[:_NAMED]]


def _about_images(prompt: Prompt) -> list[str]:
    if not prompt.images:
        return []
    sizes = [
        f"{head.media_type.removeprefix('image/').upper()} of {head.width} × {head.height} pixels"
        if head
        else "one by reference"
        for head in prompt.images[:_NAMED]
    ]
    count = len(prompt.images)
    return [f"I was sent {count} {'image' if count == 1 else 'images'}: {', '.join(sizes)}."]


def _about_tools(prompt: Prompt) -> list[str]:
    if not prompt.tools:
        return []
    names = ", ".join([tool.name for tool in prompt.tools[:_NAMED]])
    count = len(prompt.tools)
    return [f"You offer {count} {'tool' if count == 1 else 'tools'}: {names}."]
