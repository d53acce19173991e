"""Work through models: for now how an agent's task is described, its model, effort, budget and phases.

What it is not: an agent that runs, or the budget itself, which the gateway keeps (`budgets.tasks`).
"""

from trimtab.agents.config import AgentConfig

__all__ = ["AgentConfig"]
