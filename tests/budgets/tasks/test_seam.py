"""The headers by which a program names its task and its phase."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.budgets.tasks import phase_header, task_header
from trimtab.errors import RequestError


def test_headers_name_a_task_its_phase_and_how_far_it_is() -> None:
    assert task_header("task_1") == ("task_1", None)
    assert task_header(" task_1 ; total=100000") == ("task_1", 100_000)
    assert phase_header("tools") == ("tools", None)
    assert phase_header("tools; progress=0.4") == ("tools", 400)
    assert phase_header("tools;progress=1") == ("tools", 1000)
    assert phase_header("; progress=.25") == ("", 250)


@pytest.mark.parametrize(
    ("read", "text", "says"),
    [
        (task_header, "", "is empty"),
        (task_header, "t; total=-5", "total='-5': must be a whole number"),
        (task_header, "t; total=1e5", "must be a whole number"),
        (task_header, "t; budget=5", "only total=NUMBER"),
        (task_header, "t; total=5; total=6", "once"),
        (phase_header, "tools; progress=1.01", "from 0 to 1"),
        (phase_header, "tools; progress=-0.1", "from 0 to 1"),
        (phase_header, "tools; progress=nan", "from 0 to 1"),
        (phase_header, "x" * 300, "the most is 256"),
    ],
)
def test_a_header_that_means_nothing_is_refused_and_says_why(read, text: str, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        read(text)


@given(st.text(max_size=40) | st.text(alphabet="tx;=.0123456789 progestal", max_size=40))
def test_no_header_breaks_the_readers(text: str) -> None:
    for read in (task_header, phase_header):
        with contextlib.suppress(RequestError):
            assert read(text)
