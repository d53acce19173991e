import datetime
import os
import subprocess
import sys

from trimtab.catalogue import load_claims


def test_every_claim_has_a_vendor_a_figure_a_unit_a_source_and_a_date() -> None:
    claims = load_claims()
    assert len(claims) >= 15
    assert len({claim.id for claim in claims}) == len(claims)
    for claim in claims:
        assert all((claim.vendor, claim.figure, claim.unit, claim.source)), claim.id
        year, *rest = (int(part) for part in claim.date.split("-"))
        assert datetime.date(year, *[*rest, 1, 1][:2]) <= datetime.date(2026, 11, 20), claim.id


def test_the_tokenizer_claim_stands_beside_what_was_measured() -> None:
    claim = next(claim for claim in load_claims() if claim.id == "tokenizer-4.7-ratio")
    assert claim.figure == "1.0 to 1.35"
    assert claim.measured is not None
    assert "1.42 to 1.56" in claim.measured.figure


def test_importing_the_package_reads_no_file_of_it() -> None:
    program = (
        "import sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
        "import trimtab.catalogue\n"
        "sys.exit(any(name.endswith('.yaml') for name in opened))\n"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    run = subprocess.run([sys.executable, "-c", program], check=False, env={**os.environ, "PYTHONPATH": path})
    assert run.returncode == 0
