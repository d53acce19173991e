"""What is remembered of conversations: where they are, what is cached, what was asked again, what was disliked."""

from trimtab.catalogue import Arm
from trimtab.routing.cascade import Conversations, Remembered, digest_of
from trimtab.routing.cascade.remembering import CACHE_S, MOST_ASKED, STICK_S

CHEAP, DEAR = Arm("cheap"), Arm("dear")
QUESTION = digest_of("Why does the build fail on Tuesdays?", 3)


def test_a_conversation_is_where_its_last_answer_came_from_until_that_is_long_ago() -> None:
    memory = Conversations()
    assert memory.known("c", 0.0) == Remembered()
    memory.answered("c", DEAR, 10.0, cached_tokens=5000, escalated=True)
    assert memory.known("c", 10.0 + CACHE_S) == Remembered(DEAR, 5000, escalated=True)
    assert memory.known("c", 10.1 + CACHE_S) == Remembered(DEAR, 0, escalated=True)
    assert memory.known("c", 10.1 + STICK_S) == Remembered()
    assert memory.known("other", 10.0) == Remembered()
    memory.answered("", DEAR, 10.0)
    assert memory.known("", 10.0) == Remembered()


def test_it_counts_as_escalated_until_it_is_on_another_rung() -> None:
    memory = Conversations()
    memory.answered("c", DEAR, 1.0, escalated=True)
    memory.answered("c", DEAR, 2.0)
    assert memory.known("c", 2.0).escalated
    memory.answered("c", CHEAP, 3.0)
    assert not memory.known("c", 3.0).escalated


def test_a_question_is_repeated_once_it_was_answered_and_a_short_one_only_at_its_place() -> None:
    memory = Conversations()
    assert memory.repeated("c", QUESTION, 1.0) == 0
    assert (
        memory.repeated("c", QUESTION, 1.0) == 0
    )  # sent again before there was an answer: a retry of the network
    memory.answered("c", CHEAP, 2.0, question=QUESTION)
    assert memory.repeated("c", digest_of("  Why does the build fail on Tuesdays?\n", 9), 3.0) == 1
    memory.answered("c", DEAR, 4.0)  # a step of the chain that it began
    assert memory.repeated("c", QUESTION, 5.0) == 1
    memory.answered("c", DEAR, 6.0, question=QUESTION)
    assert memory.repeated("c", QUESTION, 7.0) == 2
    assert memory.repeated("other", QUESTION, 7.0) == 0
    memory.answered("c", CHEAP, 8.0, question=digest_of("continue", 5))
    assert memory.repeated("c", digest_of("continue", 7), 9.0) == 0
    assert memory.repeated("c", digest_of("continue", 5), 9.0) == 1


def test_the_arm_at_the_beginning_of_a_chain_is_kept_while_the_chain_goes_up() -> None:
    memory = Conversations()
    memory.answered("c", CHEAP, 1.0, question=QUESTION)
    memory.answered("c", DEAR, 2.0)
    assert (memory.known("c", 3.0).chain_on, memory.known("c", 3.0).on_rung) == (CHEAP, DEAR)


def test_disliked_arms_are_kept_once_each_for_conversations_that_are_known() -> None:
    memory = Conversations()
    memory.disliked("c", CHEAP, 1.0)
    assert memory.known("c", 1.0) == Remembered()
    memory.answered("c", DEAR, 2.0)
    for arm in (CHEAP, DEAR, CHEAP):
        memory.disliked("c", arm, 3.0)
    assert memory.known("c", 4.0).disliked_on == (CHEAP, DEAR)


def test_what_is_remembered_is_bounded_and_the_one_not_heard_of_for_longest_goes() -> None:
    memory = Conversations(3)
    for n, name in enumerate(("a", "b", "c", "a", "d")):
        memory.answered(name, CHEAP, float(n))
    assert len(memory) == 3
    assert memory.known("b", 5.0) == Remembered()
    assert memory.known("a", 5.0).on_rung == CHEAP
    for turn in range(5 * MOST_ASKED):
        memory.answered("a", CHEAP, 6.0, question=digest_of("x", turn))
    assert memory.repeated("a", digest_of("x", 0), 7.0) == 0
    assert memory.repeated("a", digest_of("x", 5 * MOST_ASKED - 1), 7.0) == 1


def test_long_questions_that_differ_at_an_end_or_in_length_are_different() -> None:
    text = "x" * 200_000
    assert len({digest_of(text + end, 0) for end in ("", "x", "y")}) == 3
    assert digest_of("y" + text[1:], 0) != digest_of(text, 0)
