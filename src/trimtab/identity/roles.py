"""What a person who uses the console may do. Data only."""

from typing import Literal

Role = Literal["viewer", "operator", "admin"]

ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
"""From least to most; each may do what those before it may."""


def includes(role: Role, wanted: Role) -> bool:
    """Whether somebody of the first role may do what the second may."""
    return ROLES.index(role) >= ROLES.index(wanted)
