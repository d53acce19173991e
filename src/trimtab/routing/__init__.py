"""Which arm serves a request. Pure decisions with reasons; nothing here calls, spends or waits."""

from trimtab.routing.decide import VIRTUAL_PREFIX, Ask, Decision, Place, TierRouter

__all__ = ["VIRTUAL_PREFIX", "Ask", "Decision", "Place", "TierRouter"]
