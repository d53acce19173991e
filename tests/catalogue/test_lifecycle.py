import datetime

from trimtab.catalogue import Catalogue, lifecycle_notes

TODAY = datetime.date(2026, 11, 20)


def kinds(catalogue: Catalogue, day: datetime.date) -> dict[tuple[str, str | None], str]:
    return {(note.model, note.platform): note.kind for note in lifecycle_notes(catalogue, day)}


def test_the_notes_of_the_day_the_catalogue_was_made(catalogue: Catalogue) -> None:
    assert kinds(catalogue, TODAY) == {
        ("claude-3-5-sonnet-20241022", None): "retired",
        ("claude-3-5-haiku-20241022", None): "retired",
        ("claude-3-5-haiku-20241022", "vertex"): "retired",
        ("claude-sonnet-4-5-20250929", None): "retires_soon",
        ("claude-haiku-4-5-20251001", None): "past_earliest",
        ("claude-mythos-preview", None): "deprecated",
    }


def test_a_retirement_is_announced_sixty_days_before(catalogue: Catalogue) -> None:
    sonnet = ("claude-sonnet-4-5-20250929", None)
    assert kinds(catalogue, datetime.date(2026, 10, 1)).get(sonnet) == "retires_soon"
    assert kinds(catalogue, datetime.date(2026, 9, 30)).get(sonnet) == "deprecated"
    assert kinds(catalogue, datetime.date(2026, 9, 29)).get(sonnet) is None
    assert kinds(catalogue, datetime.date(2026, 11, 30)).get(sonnet) == "retired"


def test_an_earliest_date_counts_from_its_day(catalogue: Catalogue) -> None:
    opus = ("claude-opus-4-5-20251101", None)
    assert kinds(catalogue, datetime.date(2026, 11, 23)).get(opus) is None
    assert kinds(catalogue, datetime.date(2026, 11, 24)).get(opus) == "past_earliest"


def test_a_platform_may_retire_a_model_on_another_day(catalogue: Catalogue) -> None:
    day = datetime.date(2027, 1, 15)
    notes = [note for note in lifecycle_notes(catalogue, day) if note.platform == "foundry"]
    assert [(note.model, note.text) for note in notes] == [
        ("claude-sonnet-4-6", "retires on foundry on 2027-02-10, in 26 days")
    ]


def test_a_note_says_date_and_days(catalogue: Catalogue) -> None:
    texts = {note.model: note.text for note in lifecycle_notes(catalogue, TODAY)}
    assert texts["claude-sonnet-4-5-20250929"] == "retires on 2026-11-30, in 10 days"
    assert "2026-10-15" in texts["claude-haiku-4-5-20251001"]
    last = {note.model: note.text for note in lifecycle_notes(catalogue, datetime.date(2026, 11, 29))}
    assert last["claude-sonnet-4-5-20250929"] == "retires on 2026-11-30, in 1 day"
