"""A tokenizer that an operator installed beside Trimtab: found by its entry point, shown, used, and told of when broken."""

import os
import subprocess
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest

from trimtab.app.tokenizers import GROUP, find_tokenizers
from trimtab.catalogue.estimating import Tokenizers

GOOD = """
class Letters:
    name = "letters"
    families = ("v4.7",)

    def count(self, text):
        return max(1, len(text) // 3)
"""
BROKEN = "raise ImportError('libtokens.so is missing')\n"
ODD = """
class Odd:
    name = "odd"
    families = ("v9",)

    def count(self, text):
        return len(text)


class Many(Odd):
    families = ("v3",)

    def count(self, text):
        return 10**6
"""


def wheel(folder: Path, package: str, code: str, points: str) -> Path:
    """A wheel with one module and entry points."""
    made = folder / f"{package}-1.0-py3-none-any.whl"
    info = f"{package}-1.0.dist-info"
    files = {
        f"{package}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[{GROUP}]\n{points}\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(made, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return made


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three packages, installed by pip into a folder, as an operator would."""
    folder = tmp_path_factory.mktemp("plugged")
    site = folder / "site"
    wheels = [
        wheel(folder, "good_tokens", GOOD, "letters = good_tokens:Letters"),
        wheel(folder, "broken_tokens", BROKEN, "broken = broken_tokens:Anything"),
        wheel(folder, "odd_tokens", ODD, "odd = odd_tokens:Odd\nmany = odd_tokens:Many"),
    ]
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", str(site)]
    subprocess.run([*pip, *map(str, wheels)], check=True, timeout=300)
    return site


def test_an_installed_tokenizer_is_found_and_broken_ones_are_told_in_a_line_each(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    found = find_tokenizers(
        [point for one in distributions(path=[str(installed)]) for point in one.entry_points]
    )
    assert found.names == {"v4.7": "letters"}
    broken, many, odd = found.problems
    assert broken == (
        "tokenizer 'broken' (broken_tokens:Anything) is not used: ImportError: libtokens.so is missing; "
        "mend or uninstall its package"
    )
    assert "gave 1000000" in many
    assert "'v9': tokenizer must be one of v3, v4.7" in odd
    assert "\n" not in "".join(found.problems)


def test_the_first_by_name_counts_where_two_count_the_same(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    good = next(one for one in distributions(path=[str(installed)]) if one.name == "good_tokens")
    [point] = good.entry_points
    found = find_tokenizers([point, type(point)("aaa", point.value, GROUP)])
    assert list(found.tokenizers.by_generation) == ["v4.7"]
    assert "that of 'aaa' is used" in found.problems[0]


def test_without_any_package_there_is_no_tokenizer_and_nothing_to_tell() -> None:
    found = find_tokenizers([])
    assert (found.names, found.problems) == ({}, ())
    assert isinstance(found.tokenizers, Tokenizers)


@pytest.mark.parametrize("asked", [("models",), ("doctor", "--offline")], ids=["models", "doctor"])
def test_models_and_doctor_say_which_one_is_in_use(
    installed: Path, tmp_path: Path, asked: tuple[str, ...]
) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), *sys.path]), "COLUMNS": "250"}
    told = subprocess.run(
        [sys.executable, "-m", "trimtab", *asked],
        check=False, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "by tokenizer letters" in told.stdout
    assert "v3 by content class" in told.stdout or "3 to 4.6 by content class" in told.stdout
    assert "libtokens.so is missing" in told.stdout
