"""What verdicts say of answers, under each policy of content."""

from trimtab.content import ContentSettings, quoted_under
from trimtab.records import Verdict

VERDICT = Verdict(
    "v", "escalate", "wrong", {"other_arm": "m@high", "answer": "a secret", "words": 3, "agree": False}
)


def test_texts_of_answers_stand_in_verdicts_only_where_content_is_kept_in_full() -> None:
    full = ContentSettings(keep="full")
    assert quoted_under(full, (VERDICT,), simulated=True) == (VERDICT,)
    plain = {"other_arm": "m@high", "words": 3, "agree": False}
    for settings, simulated in (
        (ContentSettings(), False),
        (ContentSettings(keep="redacted"), False),
        (ContentSettings(keep="full", simulated=False), True),
    ):
        (kept,) = quoted_under(settings, (VERDICT,), simulated=simulated)
        assert (kept.evidence, kept.reason, kept.says) == (plain, "wrong", "escalate")
    assert quoted_under(ContentSettings(keep="full", simulated=False), (VERDICT,), simulated=False) == (
        VERDICT,
    )
