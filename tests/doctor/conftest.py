"""Many diagnoses in one run of the tests: what their nurseries import is imported once."""

import sys

import pytest
from nurseries import Template

from thalweg.doctor import examination
from thalweg.trials import Runner


@pytest.fixture(scope="session")
def template():
    made = Template()
    yield made
    made.close()


@pytest.fixture
def imported_once(template, monkeypatch):
    """Runners whose nurseries begin with everything imported, and say how long that takes."""
    if sys.platform != "linux":  # where nurseries do not fork
        return
    monkeypatch.setattr(Runner, "_start", lambda one, bare: template.start(one, bare))
    monkeypatch.setattr(Runner, "import_seconds", template.import_seconds)


@pytest.fixture
def first_fault_only(monkeypatch):
    """Diagnoses end with the first cause that is proved: the search for what it hid costs as much.

    What comes first was decided before that search, which ``test_search.py`` is about.
    """
    monkeypatch.setattr(examination, "FAULTS", 1)
