"""The surface that the benchmark of phases shows, and its summary in words. Simulated, and so it says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """One way to divide beside the undivided budget, at one place of the surface."""

    arm: str
    shares: str
    heeding: str
    curve: float
    scarcity: float
    spread: float
    base: float
    """Mean quality with the undivided budget, of 100."""
    gain: float
    """Mean difference to it, in points of 100."""
    margin: float
    """Half of the 95 % interval."""

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or `no difference` where the interval holds 0."""
        if abs(self.gain) <= self.margin or self.gain == 0:
            return "no difference"
        return "better" if self.gain > 0 else "worse"

    @property
    def panel(self) -> tuple[str, str, float]:
        """Points that are drawn together."""
        return self.shares, self.heeding, self.curve


@dataclass(frozen=True)
class Surface:
    """All points."""

    points: tuple[Point, ...]
    tasks: int

    @property
    def arms(self) -> list[str]:
        """In order."""
        return list(dict.fromkeys(point.arm for point in self.points))

    @property
    def panels(self) -> list[tuple[str, str, float]]:
        """In order."""
        return sorted(dict.fromkeys(point.panel for point in self.points))

    def summary(self) -> str:
        """Markdown: how often each way is better and worse, and by how much at the most."""
        lines = [
            "| way | shares | agent | curve | better | no difference | worse | gain: lowest, mean, highest |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for arm in self.arms:
            for panel in self.panels:
                shares, heeding, curve = panel
                found = [one for one in self.points if one.arm == arm and one.panel == panel]
                verdicts = [one.verdict for one in found]
                gains = [one.gain for one in found]
                counts = " | ".join(
                    str(verdicts.count(name)) for name in ("better", "no difference", "worse")
                )
                mean = sum(gains) / len(gains)
                lines.append(
                    f"| {arm} | {shares} | {heeding} | {curve:g} | {counts} | "
                    f"{min(gains):+.1f}, {mean:+.1f}, {max(gains):+.1f} |"
                )
        return "\n".join(lines)
