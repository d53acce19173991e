"""Sees whether code changed what its tests rely on.

What it is not: a defence against code that changes memory. Invariant: functions, classes and their members are compared
by identity, so that a change which was put back is none.
"""

import sys
import types
from typing import Any

OWN = "trimtab."
"""What this program's own modules are called."""

NAMES = (
    "builtins",
    "unittest",
    "unittest.case",
    "unittest.suite",
    "unittest.result",
    "unittest.loader",
    "operator",
    "math",
    "json",
    "json.encoder",
    "ast",
    "inspect",
    "asyncio",
)


class Watch:
    """What tests rely on, as it was before the code was loaded."""

    def __init__(self, imports: list[str]) -> None:
        """`imports`: modules that the tests import."""
        names = {*NAMES, *imports, *(name for name in sys.modules if name.startswith("_pytest."))}
        self._modules = {name: sys.modules[name] for name in names if name in sys.modules}
        self._own = {name: module for name, module in sys.modules.items() if name.startswith(OWN)}
        self._seen = dict(self._now())
        self.modules = frozenset(sys.modules) - self._own.keys()
        """Those that were there."""

    def hide(self) -> None:
        """Nothing finds this program's own modules by their names any more."""
        for name in (*self._own, "trimtab"):
            sys.modules.pop(name, None)
        sys.modules["__main__"] = types.ModuleType("__main__")

    def _now(self) -> Any:
        for name, module in self._own.items():
            yield from self._of(name, module)
        for name, module in self._modules.items():
            yield name, sys.modules.get(name) is module
            yield from self._of(name, module)

    def _of(self, name: str, module: types.ModuleType) -> Any:
        for key, value in list(vars(module).items()):
            if not callable(value):
                continue
            yield f"{name}.{key}", value
            if isinstance(value, type) and value.__module__ == name:
                if name.startswith(("unittest", OWN)):
                    yield f"{name}.{key}.*", len(vars(value))
                for attribute, member in list(vars(value).items()):
                    if callable(member) or isinstance(member, (classmethod, staticmethod, property)):
                        yield f"{name}.{key}.{attribute}", member

    def changed(self) -> str:
        """The name of something that is another thing now; empty where all is as it was."""
        there = dict(self._now())
        for name, value in self._seen.items():
            if name not in there or (there[name] is not value and (name[-1] != "*" or there[name] != value)):
                return "what runs the tests" if name.startswith(OWN) else str(name).removesuffix(".*")
        return ""
