"""Mutants can still be planted; `make mutants` sees whether the tests find them."""

import sys

import pytest
from source import PACKAGE, ROOT

sys.path.append(str(ROOT))

from mutants.families import FAMILIES
from mutants.mutant import Mutant, faults

EVERY = [(name, mutant) for name, mutants in FAMILIES.items() for mutant in mutants]
SOURCE = "x = 1\ny = 2\n"


@pytest.mark.parametrize("name", FAMILIES)
def test_every_mutant_can_be_planted(name):
    assert [(m.file, m.what, fault) for m in FAMILIES[name] for fault in faults(m, ROOT)] == []


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_ten(name):
    assert len(FAMILIES[name]) >= 10
    assert len({(m.file, m.text, m.mistake) for m in FAMILIES[name]}) == len(FAMILIES[name])


def test_every_rule_and_every_wrapper_has_some():
    folders = (PACKAGE / "optim" / name for name in ("rules", "wrappers"))
    files = {path for folder in folders for path in folder.glob("*.py")}
    files -= {path for path in files if path.name == "__init__.py"}
    assert files <= {m.path(ROOT) for _, m in EVERY}


@pytest.mark.parametrize(
    "change, says",
    [
        ({"text": "z"}, "the text stands 0 times"),
        ({"text": "="}, "the text stands 2 times"),
        ({"mistake": "x = ("}, "cannot be parsed"),
        ({"mistake": "x =  1"}, "changes nothing"),
        ({"tests": ("tests/nowhere.py::test",)}, "there is no tests/nowhere.py"),
        ({"tests": ("src/thalweg/a.py::test[x]",)}, "there is no src/thalweg/a.py::test[x]"),
        ({"file": "nowhere.py"}, "there is no such file"),
    ],
)
def test_what_cannot_be_planted_is_noticed(tmp_path, change, says):
    sound = {"file": "a.py", "text": "x = 1", "mistake": "x = 2", "what": "more", "tests": ()}
    path = Mutant(**sound).path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(SOURCE)
    assert list(faults(Mutant(**sound), tmp_path)) == []
    assert any(says in fault for fault in faults(Mutant(**{**sound, **change}), tmp_path))
