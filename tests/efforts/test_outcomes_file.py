"""Files of outcomes: read whole, or refused with the line and what to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.efforts.outcomes_file import read_outcomes
from trimtab.errors import ConfigError
from trimtab.store.feedback import Told


def read(content: str | bytes) -> list[Told]:
    raw = content if isinstance(content, bytes) else content.encode()
    return read_outcomes("f", raw, source="import", teller="cli:t")


def test_json_lines_and_csv_say_the_same() -> None:
    lines = (
        '{"request":"r1","success":true}\n\n{"session":"s","score":0.25,"source":"review","note":"so, so"}\n'
    )
    table = '\ufeffRequest,session,success,score,source,note\r\nr1,,Yes,,,\r\n,s,,0.25,review,"so, so"\r\n'
    expected = [
        Told(request="r1", source="import", score=1.0, covers="request", teller="cli:t"),
        Told(request="s", source="review", score=0.25, covers="session", note="so, so", teller="cli:t"),
    ]
    assert read(lines) == read(table) == expected


def test_a_label_and_an_edited_answer_come_with_an_outcome() -> None:
    (one,) = read('{"request":"r","score":0.5,"label":"wrong_sum","edited":{"sum":391}}')
    assert (one.label, one.edited) == ("wrong_sum", b'{"sum":391}')
    (one,) = read("request,success,label,edited\nr,no,late,as text\n")
    assert (one.label, one.edited) == ("late", b'"as text"')
    with pytest.raises(ConfigError, match=r"line 1: edited: has .* at most 262,144"):
        read('{"request":"r","score":0.5,"edited":"' + "x" * 262_144 + '"}')


def test_lines_of_a_table_end_where_csv_says_and_nowhere_else() -> None:
    read_notes = [
        one.note for one in read('request,success,note\nr,yes,a\u2028b\x0cc\ns,yes,"two\r\nlines"\n')
    ]
    assert read_notes == ["a\u2028b\x0cc", "two\r\nlines"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no outcome"),
        ("request,success\n", "holds no outcome"),
        ('{"request":"r","success":true}\n{"request":"r"}', "line 2: must say success"),
        ('{"request":"r","success":true,"score":1}', "line 1: must say success"),
        ('{"success":true}', "line 1: must name one of request, session and task"),
        ('{"request":"r","task":"t","success":true}', "line 1: must name one"),
        ('{"request":"r","success":"yes"}', "line 1: .*bool"),
        ('{"request":"r","score":2}', "line 1: .*<= 1"),
        ('{"request":"r","sucess":true}', "line 1: .*permitted are request, session"),
        ('{"request":', "line 1: "),
        (b"request,success\n\xff,1\n", "invalid UTF-8 at byte 16"),
        ("id,success\nr,1\n", "line 1: column 'id': must be one of request"),
        ("request,request\nr,1\n", "line 1: column 'request'"),
        ("request,success\nr,maybe\n", "line 2: success: 'maybe'"),
        ("request,score\nr,high\n", "line 2: score: 'high'"),
        ("request,score\nr,nan\n", "line 2: "),
        ("request,success\nr,1,2\n", "line 2: has more values"),
        ('request,success\n"r,1\n', "is not CSV"),
        ("request,success,source\nr,1,a b\n", "line 2: .*source"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(content: str | bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(content)


@given(
    st.binary(max_size=80)
    | st.text('{}[]":,\n\r\0 requesttasksessionsuccessscore01.truefalse', max_size=120).map(str.encode)
    | st.lists(st.text(max_size=6), max_size=12).map(
        lambda parts: ("request,session,task,success,score,note,source\n" + ",".join(parts)).encode()
    )
)
def test_whatever_a_file_holds_it_is_read_or_refused(content: bytes) -> None:
    try:
        told = read(content)
    except ConfigError:
        return
    assert told
    for one in told:
        assert 0 <= one.score <= 1
        assert "\0" not in one.note
