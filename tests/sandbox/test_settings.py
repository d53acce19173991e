"""What an operator may set on the sandbox, and what is said of what cannot be."""

import pytest

from trimtab.errors import ConfigError
from trimtab.sandbox import Limits, SandboxSettings, check_sandbox


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"concurrent": 0}, "sandbox.concurrent: 0: must be from 1 to 64"),
        ({"wall_s": float("nan")}, "sandbox.wall_s"),
        ({"memory_mib": 1}, "sandbox.memory_mib: 1: must be from 64 to 65536"),
        ({"readable": ("/",)}, "must not be the whole system"),
        ({"readable": ("relative",)}, "must be an absolute path"),
        ({"readable": ("/opt/../etc",)}, "must be an absolute path"),
        ({"readable": ("/opt/",)}, "must be an absolute path"),
        ({"readable": ("/etc",)}, "is in /etc, which the sandbox makes itself"),
        ({"readable": ("/proc/self",)}, "is in /proc"),
        ({"readable": ("/no-such-folder-here",)}, "is no folder of this machine"),
        ({"readable": ("/opt\0",)}, "must be an absolute path"),
    ],
)
def test_a_setting_out_of_its_bounds_is_refused_by_its_name(changed: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_sandbox(SandboxSettings(**changed), lambda key: f"sandbox.{key}")  # type: ignore[arg-type]
    assert words in str(refused.value)


def test_the_defaults_are_allowed() -> None:
    check_sandbox(SandboxSettings(), lambda key: key)


def test_a_run_gets_what_it_asks_for_up_to_what_the_operator_allows() -> None:
    settings = SandboxSettings(wall_s=5.0, memory_mib=100)
    limits = settings.within(Limits(wall_s=100.0, cpu_s=1.0, memory_bytes=2**40, processes=3))
    assert (limits.wall_s, limits.cpu_s, limits.memory_bytes, limits.processes) == (5.0, 1.0, 100 * 2**20, 3)
