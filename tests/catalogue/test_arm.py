import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue import EFFORTS, Arm

MODEL_IDS = st.from_regex(r"[a-z0-9][a-z0-9.:/_-]{0,40}", fullmatch=True)
ARMS = st.builds(
    Arm,
    model=MODEL_IDS,
    effort=st.none() | st.sampled_from(EFFORTS),
    thinking=st.none() | st.just("adaptive"),
)


@given(ARMS)
def test_an_arm_written_and_read_again_is_the_same_arm(arm: Arm) -> None:
    assert Arm.parse(str(arm)) == arm


@given(st.text())
def test_any_text_is_an_arm_that_is_written_as_it_was_read_or_a_clear_error(text: str) -> None:
    try:
        arm = Arm.parse(text)
    except ValueError:
        return
    assert str(arm) == text


@pytest.mark.parametrize(
    ("text", "arm"),
    [
        ("claude-opus-4-7", Arm("claude-opus-4-7")),
        ("claude-opus-4-7@xhigh", Arm("claude-opus-4-7", "xhigh")),
        ("claude-opus-4-7@high+adaptive", Arm("claude-opus-4-7", "high", "adaptive")),
        ("claude-opus-4-7+adaptive", Arm("claude-opus-4-7", None, "adaptive")),
    ],
)
def test_the_four_forms_of_an_arm(text: str, arm: Arm) -> None:
    assert Arm.parse(text) == arm
    assert str(arm) == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("claude-opus-4-7@hihg", "effort must be one of low, medium, high, xhigh, max"),
        ("claude-opus-4-7@", "effort must be one of low, medium, high, xhigh, max"),
        ("claude-opus-4-7@HIGH", "effort must be one of low, medium, high, xhigh, max"),
        ("claude-opus-4-7@high@low", "effort must be one of low, medium, high, xhigh, max"),
        ("claude-opus-4-7@high+thinking", "only '+adaptive' may follow the model and effort"),
        ("claude-opus-4-7+adaptive@high", "only '+adaptive' may follow the model and effort"),
        ("@high", "a model id is missing; write it as 'model' or 'model@effort'"),
        ("", "a model id is missing; write it as 'model' or 'model@effort'"),
        ("claude opus", "a model id holds no spaces, '+' or control characters"),
        ("a+adaptive+adaptive", "a model id holds no spaces, '+' or control characters"),
        ("claude\u00a0opus", "a model id holds no spaces, '+' or control characters"),
    ],
)
def test_what_is_not_an_arm_is_refused_with_what_was_expected(text: str, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        Arm.parse(text)
    assert str(caught.value) == problem
