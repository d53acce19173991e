"""What a run found: a table for people, and whether every bar was met."""

from dataclasses import dataclass, field


@dataclass
class Findings:
    """Figures of one run, in the order in which they were noted."""

    title: str
    rows: list[tuple[str, str, bool | None]] = field(default_factory=list)

    def note(self, what: str, value: object) -> None:
        """A figure without a bar."""
        self.rows.append((what, _shown(value), None))

    def check(self, what: str, met: bool, value: object) -> None:
        """A figure that has to be as it is."""
        self.rows.append((what, _shown(value), met))

    def none(self, what: str, found: list[str] | set[str]) -> None:
        """There must be none of these."""
        some = sorted(found)[:5]
        self.check(what, not found, f"{len(found)} {some}" if found else 0)

    @property
    def missed(self) -> list[str]:
        return [f"{what}: {value}" for what, value, met in self.rows if met is False]

    def __str__(self) -> str:
        width = max(len(what) for what, _, _ in self.rows)
        verdict = {True: "met", False: "MISSED", None: ""}
        lines = [f"  {what:{width}}  {value:24} {verdict[met]}".rstrip() for what, value, met in self.rows]
        return "\n".join([f"== {self.title} ==", *lines])


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
