"""What docs/public-api.txt promises is what there is."""

import re
import tomllib
from pathlib import Path

from public_api import SECTIONS, lines

ROOT = Path(__file__).resolve().parent.parent
LISTED = ROOT / "docs/public-api.txt"
HOW = (
    "python tests/support/public_api.py > docs/public-api.txt; say what changed in CHANGELOG.md (docs/api.md)"
)


def test_nothing_public_comes_or_goes_unlisted() -> None:
    listed = LISTED.read_text().splitlines()
    there = lines()
    assert {"gone": sorted(set(listed) - set(there)), "new": sorted(set(there) - set(listed))} == {
        "gone": [],
        "new": [],
    }, HOW
    assert listed == there, HOW


def test_every_section_of_the_configuration_is_listed() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    sections = {
        section
        for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
        for section in tomllib.loads(block)
    }
    assert sections - {"version", "platforms"} <= {name.partition(".")[0] for name in SECTIONS}
