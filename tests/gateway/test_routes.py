"""Routes through a whole gateway: what goes out, what is recorded, and what callers are shown."""

import json
from pathlib import Path

from serving_harness import VERSION, run, site

CONFIG = """
[routes.review]
match = {tags = ["review"]}
model = "claude-opus-4-7"
scenario = "agent"
thinking = "summarized"
[routes.small]
match = {models = ["claude-opus-4-6"]}
tier = "default"
most_effort = "low"
"""


def test_a_route_decides_model_effort_and_thinking_and_the_record_names_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path, CONFIG + '[platforms.sim]\nkind = "simulator"\nlatency_scale = 0\n') as s:
            ask = {"max_tokens": 9000, "messages": [{"role": "user", "content": "hi"}]}
            tagged = VERSION + b"x-trimtab-tags: a, review\r\n"
            for model, headers, arm, route in (
                ("trimtab/auto", tagged, "claude-opus-4-7@xhigh+adaptive", "review"),
                ("trimtab/review", VERSION, "claude-opus-4-7@xhigh+adaptive", "review"),
                ("claude-sonnet-4-6", tagged, "claude-sonnet-4-6@high+adaptive", "review"),
                ("claude-opus-4-6", VERSION, "claude-sonnet-4-6@low", "small"),
                ("trimtab/auto", VERSION, "claude-sonnet-4-6", None),
            ):
                status, named, body = await s.post({"model": model, **ask}, headers=headers)
                assert (status, named["x-trimtab-arm"]) == (200, arm)
                assert json.loads(body)["model"] == arm.partition("@")[0]
                record = await s.record(named["x-trimtab-request"])
                assert record["plan"].get("route") == route
                assert record.get("task_class") == ("agent" if route == "review" else None)
                shown = "thinking.display=summarized" in named.get("x-trimtab-adaptations", "")
                assert shown is (route == "review")
            _, _, body = await s.get("/v1/models?limit=100")
            models = {one["id"]: one["display_name"] for one in json.loads(body)["data"]}
            assert models["trimtab/review"] == "Trimtab: the route review (claude-opus-4-7)"
            assert models["trimtab/small"] == "Trimtab: the route small, tier default (claude-sonnet-4-6)"
            assert models["trimtab/fast"] == "Trimtab: the tier fast (claude-haiku-4-5)"

    run(work)
