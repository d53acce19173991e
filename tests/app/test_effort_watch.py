"""A table of efforts that is published while a server runs decides whether another model comes before more effort."""

from pathlib import Path

import msgspec

from trimtab.app.effort_watch import EffortWatch
from trimtab.app.efforts import KINDS
from trimtab.app.learnt import LOOK_S
from trimtab.catalogue import Arm
from trimtab.efforts import ClassTable, EffortTable
from trimtab.efforts.table import Cell, Success
from trimtab.store import StoreSettings, open_database
from trimtab.store.artefacts import ArtefactStore

A, MORE, OTHER = Arm("sonnet", "medium"), Arm("sonnet", "high"), Arm("opus", "high")


def cell(arm: Arm, share: float) -> Cell:
    success = Success(share, share - 0.01, share + 0.01, 5000, 5000, 5000)
    return Cell(model=arm.model, effort=arm.effort or "", asked=5000, conversations=5000, success=success)


def test_published_tables_are_taken_over_and_what_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    clock = [0.0]
    url = f"sqlite:///{tmp_path}/t.db"
    database = open_database(
        StoreSettings(url=url), clock_ms=lambda: 1_800_000_000_000 + int(clock[0] * 1000)
    )
    artefacts = ArtefactStore(database)
    watch = EffortWatch(database, lambda: clock[0])

    def prefers(simulated: bool = False) -> bool:
        clock[0] += LOOK_S + 1
        watch.look()
        return watch.stepping("coding", A, MORE, OTHER, simulated)

    assert not prefers()
    cells = (cell(A, 0.7), cell(MORE, 0.7), cell(OTHER, 0.9))
    table = EffortTable(
        from_ms=0,
        to_ms=1,
        simulated=False,
        requests=1,
        classes=(ClassTable(task_class="coding", unit="request", cells=cells),),
    )
    artefacts.publish(KINDS[False], table.encoded())
    assert prefers()
    assert not prefers(simulated=True)
    clock[0] += 1
    artefacts.publish(KINDS[False], b"of a newer program")
    assert prefers()
    clock[0] += 1
    artefacts.publish(KINDS[False], msgspec.structs.replace(table, classes=()).encoded())
    assert not prefers()
    database.close()
