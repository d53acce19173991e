"""What a version of the configuration said, as requests name it.

What it is not: a way to change it, or a place where secrets could be: they are references in the file.
"""

import msgspec

from trimtab.console.application import Shown
from trimtab.console.figures import Figures
from trimtab.console.visit import Visit
from trimtab.console.visitors import Role, Visitor
from trimtab.errors import NotFound, PermissionDenied, shortened

CONFIG_ROLE: Role = "operator"
"""Names of files, hosts and limits are not for everybody who looks at figures."""


class ConfigData(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows."""

    version: str
    text: str
    """The file as it was read; empty where everything was left at its default."""


class ConfigPage:
    """Reads one version."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def __call__(self, visit: Visit, visitor: Visitor, rest: str) -> Shown:
        """See `Page`; `rest` is the version."""
        if not visitor.may(CONFIG_ROLE):
            raise PermissionDenied(
                f"configurations are for the role {CONFIG_ROLE}; on the machine, read the file itself, "
                "or `trimtab users` gives roles"
            )
        text = self._figures.config(rest)
        if text is None:
            raise NotFound(f"what configuration {shortened(rest)!r} said is not kept here")
        return Shown(
            template="configuration.html",
            title=f"Configuration {rest}",
            data=ConfigData(version=rest, text=text),
        )
