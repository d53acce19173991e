"""Runs code that a model wrote, where it can do no harm: no network, a read-only system, one writable folder, limits.

What it is not: a virtual machine; the kernel is shared. Invariants: nothing that a run does outlives it, and whatever
happens to it is a result, not an exception.
"""

from trimtab.sandbox.run import Ended, Limits, Ran, Run
from trimtab.sandbox.sandbox import Sandbox
from trimtab.sandbox.settings import SandboxSettings, check_sandbox

__all__ = ["Ended", "Limits", "Ran", "Run", "Sandbox", "SandboxSettings", "check_sandbox"]
