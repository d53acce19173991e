"""The tables of what platforms take in docs/platforms.md, made from their profiles.

python tests/support/platform_table.py   # writes them into the page
"""

from pathlib import Path

from trimtab.catalogue.platforms import PlatformProfile, load_platforms

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "platforms.md"
START, END = "<!-- what platforms take -->\n", "<!-- end of what platforms take -->\n"


def table() -> str:
    """A row for each platform, and the betas below."""
    lines = [
        "| platform | fields it does not take | tools it does not have | sources of images and documents | request, image, at most | other |",
        "|---|---|---|---|---|---|",
    ]
    profiles = load_platforms()
    lines += [f"| {' | '.join(_row(name, profile))} |" for name, profile in profiles.items()]
    lines += ["", "| platform | betas that it knows |", "|---|---|"]
    lines += [
        f"| `{name}` | {'any' if profile.betas is None else _listed(profile.betas) + _mark(profile, 'betas')} |"
        for name, profile in profiles.items()
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, profile: PlatformProfile) -> list[str]:
    other = []
    if profile.structured_outputs is not None:
        models = _listed(profile.structured_outputs)
        other.append(f"structured outputs of {models} only{_mark(profile, 'structured_outputs')}")
    if profile.efforts:
        other += [f"effort of `{model}`: {_listed(levels)}" for model, levels in profile.efforts.items()]
    if profile.endpoints != ("messages", "count_tokens"):
        other.append(f"operations: {_listed(profile.endpoints)}{_mark(profile, 'endpoints')}")
    if profile.regional_premium:
        other.append(f"regional endpoints cost {profile.regional_premium * 100:.0f} % more")
    if not profile.rate_limit_headers:
        other.append("no `anthropic-ratelimit-*`")
    if not profile.applied:
        other.append("nothing of this is applied here: it says itself what it refuses")
    return [
        f"`{name}`: {profile.name}",
        (_listed(profile.no_fields) or "none") + _mark(profile, "no_fields"),
        (_listed([f"{kind}*" for kind in profile.no_tools]) or "none") + _mark(profile, "no_tools"),
        ("any" if profile.sources is None else _listed(profile.sources)) + _mark(profile, "sources"),
        f"{_size(profile.max_request_bytes)}{_mark(profile, 'max_request_bytes')}, "
        f"{_size(profile.max_image_bytes)}{_mark(profile, 'max_image_bytes')}",
        "; ".join(other) or "-",
    ]


def _listed(names: object) -> str:
    assert isinstance(names, tuple | list)
    return ", ".join(f"`{name}`" for name in names)


def _mark(profile: PlatformProfile, key: str) -> str:
    return " (?)" if key in profile.unverified else ""


def _size(size: int | None) -> str:
    return "not known" if size is None else f"{size // 1024**2} MiB"


def written() -> str:
    """What the page has between the marks."""
    return PAGE.read_text().partition(START)[2].partition(END)[0]


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(START)
    PAGE.write_text(before + START + table() + END + rest.partition(END)[2])
