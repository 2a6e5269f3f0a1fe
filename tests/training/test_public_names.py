"""What a training script needs is named in `thalweg.training`, whatever folder it lives in."""

import subprocess
import sys

import pytest

import thalweg.training
from thalweg.training import initialization, normalization, regularization, strategies

# What explains, or what others are made of, stays in its folder.
OWN = {
    regularization: {"weights"},
    normalization: {"normalize"},
    initialization: {"squared_gain"},
    strategies: {"EpochBatches"},
}


@pytest.mark.parametrize("folder", OWN, ids=lambda folder: folder.__name__)
def test_what_a_folder_offers_is_offered_above_it(folder):
    assert OWN[folder] < set(folder.__all__)
    for name in set(folder.__all__) - OWN[folder]:
        assert name in thalweg.training.__all__
        assert getattr(thalweg.training, name) is getattr(folder, name)


def test_no_folder_hides_a_name_of_another():
    names = [name for folder in OWN for name in folder.__all__]
    assert len(names) == len(set(names))


def test_importing_it_loads_no_library_that_a_script_may_do_without():
    code = "import sys, thalweg.training; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    optional = {"accelerate", "altair", "kornia", "rich", "scipy", "sklearn", "torchmetrics"}
    assert not optional & set(loaded.stdout.split())
