"""What an operator may set on verification: figures out of their bounds stop the start, with their place."""

import pytest

from trimtab.errors import ConfigError
from trimtab.verification import VerificationSettings, check_verification


@pytest.mark.parametrize(
    ("key", "allowed", "refused"),
    [
        ("keep_alive_s", (0.1, 10.0), (0.0, 10.1, float("nan"))),  # no stream is silent for more than 10 s
        ("hold_headers_s", (0.0, 10.0), (-1.0, 10.1)),
        ("timeout_s", (0.001, 3600.0), (0.0, 3601.0, float("inf"))),
        ("most_held_mib", (1, 64), (0, 65)),
    ],
)
def test_signs_of_life_and_what_is_held_back_have_bounds(
    key: str, allowed: tuple[float, ...], refused: tuple[float, ...]
) -> None:
    for value in allowed:
        check_verification(VerificationSettings(**{key: value}), str)
    for value in refused:
        with pytest.raises(ConfigError) as raised:
            check_verification(
                VerificationSettings(**{key: value}), lambda name: f"t.toml: verification.{name}"
            )
        assert raised.value.where == f"t.toml: verification.{key}"
