"""Which arm serves a request. Pure decisions with reasons; nothing here calls, spends or waits."""

from trimtab.routing.decide import Ask, Decision, Place, TierRouter

__all__ = ["Ask", "Decision", "Place", "TierRouter"]
