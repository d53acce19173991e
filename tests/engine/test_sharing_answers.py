"""Whoever shares, whatever is revoked or deleted meanwhile: nobody hears what somebody else may not let him hear."""

import time
from pathlib import Path

import msgspec
import pytest
from answer_house import ANSWER, COLD, House, houses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.records import NOBODY, Caller
from trimtab.store.content import Selection, delete
from trimtab.store.keys import Key
from trimtab.store.keys.tables import insert_key, insert_organisation, insert_team, update_key

PEOPLE = [
    Caller(key=f"key_{number}", organisation=organisation, team=team, user=user)
    for number, (organisation, team, user) in enumerate(
        [
            ("acme", "red", "ann"),
            ("acme", "red", "bob"),
            ("acme", "", "ann"),
            ("acme", "", "bob"),
            ("other", "red", "ann"),
        ]
    )
]
ASKERS = [*PEOPLE, NOBODY]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "ask", "refresh", "revoke", "delete key", "delete user"]),
        st.integers(0, len(ASKERS) - 1),
    ),
    min_size=6,
    max_size=14,
)
SHARES = ("key", "team", "organisation", "all")


def may_hear(share: str, asker: Caller, maker: Caller) -> bool:
    if share == "all" or asker.key == maker.key:
        return True
    if not asker.organisation or asker.organisation != maker.organisation:
        return False
    return share == "organisation" or (share == "team" and asker.team == maker.team != "")


@given(STEPS, st.sampled_from(SHARES))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_answer_is_heard_by_whom_it_may_be_and_by_nobody_after_its_end(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], share: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trimtab.cache.shelves.FRONT_S", 0.0)
        for make in houses(tmp_path_factory.mktemp("shared")):
            attack(make(ANSWER, share=share), share, steps)


def attack(house: House, share: str, steps: list[tuple[str, int]]) -> None:
    for organisation in ("acme", "other"):
        house.database.write(lambda tx, name=organisation: insert_organisation(tx, name, 1))
        house.database.write(lambda tx, name=organisation: insert_team(tx, name, "red", 1))
    keys = {
        one.key: Key(
            id=one.key,
            name=one.key,
            organisation=one.organisation,
            team=one.team,
            user=one.user,
            created_ms=1,
        )
        for one in PEOPLE
    }
    for key in keys.values():
        house.database.write(lambda tx, key=key: insert_key(tx, key, 1))
    made: dict[str, Caller] = {}
    ended: set[str] = set()
    revoked: set[str] = set()
    for what, who in steps:
        caller = ASKERS[who]
        if what in ("ask", "refresh"):
            if caller.key in revoked:
                continue  # it is not let in
            own = {"x-trimtab-cache": "refresh" if what == "refresh" else "on"}
            at_ms = int(time.time() * 1000)
            _, told = house.tell(COLD, caller=caller, own=own, arrived_ms=at_ms)
            (record,) = [one for one in house.records if one.id == f"r{house.asked}"]
            if record.cached is None:
                made[record.id] = caller
                assert told == ("refresh" if what == "refresh" else "miss")
                continue
            maker = made[record.cached]
            assert may_hear(share, caller, maker), (caller, maker)
            assert record.cached not in ended
            assert (record.cost_nanousd, record.key, record.attempts) == (0, caller.key, ())
        elif caller.key in keys:
            hers = {name for name, maker in made.items() if maker.key == caller.key}
            if what == "revoke" and caller.key not in revoked:
                gone = msgspec.structs.replace(keys[caller.key], revoked_ms=2)
                house.database.write(lambda tx, gone=gone: update_key(tx, gone, 2 + len(revoked)))
                revoked.add(caller.key)
                ended |= hers
            elif what == "delete key":
                delete(house.database, Selection("key", caller.key))
                ended |= hers
            elif what == "delete user":
                delete(house.database, Selection("user", caller.user, caller.organisation))
                ended |= {
                    name
                    for name, maker in made.items()
                    if (maker.organisation, maker.user) == (caller.organisation, caller.user)
                }


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("first", [0, 2])
def test_who_may_hear_it_does(tmp_path: Path, share: str, first: int) -> None:
    maker = ASKERS[first]
    for make in houses(tmp_path):
        house = make(ANSWER, share=share)
        house.tell(COLD, caller=maker)
        house.kept()
        for asker in ASKERS:
            hears = house.tell(COLD, caller=asker, own={"x-trimtab-cache": "on"})[1].endswith("from=r1")
            assert hears == may_hear(share, asker, maker), asker


@pytest.mark.parametrize("end", ["revoke", "delete key", "delete user"])
def test_nobody_of_a_team_hears_an_answer_after_its_end(tmp_path: Path, end: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trimtab.cache.shelves.FRONT_S", 0.0)
        for make in houses(tmp_path):
            house = make(ANSWER, share="team")
            attack(house, "team", [("ask", 0), ("ask", 1), (end, 0), ("ask", 1), ("ask", 1)])
            assert [record.cached for record in house.records] == [None, "r1", None, "r3"]
