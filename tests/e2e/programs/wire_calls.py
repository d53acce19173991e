"""What the programs on platforms' clients ask: a rich request, and a plain one."""

from typing import Any

from client import ask

TOOL = {
    "name": "weather",
    "description": "Weather of a place. 天気",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
RICH: dict[str, Any] = {
    "max_tokens": 2048,
    "system": [{"type": "text", "text": "Be terse.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        *ask("héllo \u2028 🎌"),
        {"role": "assistant", "content": [{"type": "text", "text": "Oui?"}]},
        *ask("again"),
    ],
    "tools": [TOOL],
    "tool_choice": {"type": "auto"},
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "high"},
    "stop_sequences": ["END"],
    "metadata": {"user_id": "u-1"},
}
PLAIN: dict[str, Any] = {"max_tokens": 16, "messages": ask("hi")}
