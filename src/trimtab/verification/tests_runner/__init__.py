"""The program that runs tests of Python against code of a model, in a sandbox; as text, for it runs without Trimtab.

What it is not: imported by Trimtab for anything but this text. Invariant: its modules import the standard library and
one another, and nothing else.
"""

from pathlib import Path

MODULES = ("reporting", "watching", "plain_tests", "pytest_tests", "apart", "child", "judge")
"""In an order in which each finds those that it imports."""

_BEGIN = """\
import sys, types
for name in ("trimtab", "trimtab.verification", {home!r}):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = []
for name, text in {texts!r}:
    module = sys.modules[name] = types.ModuleType(name)
    setattr(sys.modules[{home!r}], name.rpartition(".")[2], module)
    exec(compile(text, name, "exec"), vars(module))
sys.modules[{home!r} + ".judge"].main()
"""


def program() -> str:
    """For `python3 -c`: some 30 kB. Reads files."""
    folder = Path(__file__).parent
    texts = [(f"{__name__}.{name}", (folder / f"{name}.py").read_text(encoding="utf-8")) for name in MODULES]
    return _BEGIN.format(home=__name__, texts=texts)
