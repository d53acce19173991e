"""Outcomes of sessions reach them by the name that the client sent, whose key it ever was, and never somebody else's."""

import random
import time
from pathlib import Path

import pytest
from key_store import admin_of, make

from trimtab.app.efforts import EffortsDoor
from trimtab.engine.session import sessions_sent
from trimtab.records import Outcome, new_request_id
from trimtab.store import StoreSettings, open_database, open_store
from trimtab.store.feedback import FeedbackStore, Told


@pytest.mark.parametrize("place", [0, 1])
def test_a_session_is_found_by_the_name_that_was_sent_and_one_of_several_is_asked_for(
    tmp_path: Path, place: int
) -> None:
    settings = StoreSettings(url=f"sqlite:///{tmp_path}/t.db")
    now = time.time_ns() // 1_000_000
    draw = random.Random(1)
    database = open_database(settings, clock_ms=lambda: now)
    key, _ = make(admin_of(database))
    sent = {"ticket": sessions_sent("ticket", key)[place], "mine": sessions_sent("mine", "")[place]}
    names = [*sent.values(), *sessions_sent("twice", ""), "h:raw"]
    ids = {name: new_request_id(now, draw.getrandbits) for name in names}
    store = open_store(settings, clock_ms=lambda: now, on_problem=None)
    for name, identity in ids.items():
        store.put(
            Outcome(
                id=identity,
                at_ms=now,
                purpose="live",
                surface="messages",
                endpoint="messages",
                requested_model="trimtab/auto",
                session=name,
                result="ok",
                status=200,
                stream=False,
            )
        )
    assert store.close(30) == 0
    done = EffortsDoor(database, settings.url).import_outcomes(
        [
            Told(request=name, source="tests", covers="session", score=1)
            for name in ("ticket", "mine", "twice", "h:raw", "nobody", sessions_sent("twice", "")[0])
        ],
        None,
    )
    feedback = FeedbackStore(database)
    told = {name for name, identity in ids.items() if feedback.of(identity)}
    assert told == {*sent.values(), "h:raw", sessions_sent("twice", "")[0]}
    assert (done.outcomes, done.changed, len(done.unknown)) == (6, 4, 2)
    assert "'twice': 2 sessions were sent by this name" in done.unknown[0]
    assert "no answered request of it is recorded here" in done.unknown[1]
    database.close()
