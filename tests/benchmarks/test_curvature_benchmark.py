"""The curvature benchmark: it runs without other libraries, and its yardsticks measure."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from curving import certificates, demanding, densities, divergence, exactness, memory  # noqa: E402
from curving.extremal import by_thalweg, error_of, solved  # noqa: E402
from curving.flops import counted, one_gradient  # noqa: E402
from curving.networks import (  # noqa: E402
    GPT,
    Problem,
    classification,
    mlp,
    resnet20,
    timed_problems,
    trained,
)
from curving.peers import PEERS, flat, ours, parts  # noqa: E402
from curving.reference import by_differences, dense_hessian, relative_error  # noqa: E402
from curving.traces import Dense, Seen  # noqa: E402
from curving.traces import ours as ours_of_trace  # noqa: E402
from section import Aim, Section  # noqa: E402

ROWS = "exactness,clock,demanding"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A quick run of the quick rows, with what it printed and wrote."""
    folder = tmp_path_factory.mktemp("curvature")
    command = [sys.executable, BENCHMARKS / "curvature.py", "--quick", "--rows", ROWS]
    command += ["--peers", "", "--turns", "2", "--busy"]
    command += ["--json", folder / "all.json", "--save", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, folder


def test_what_is_saved_is_what_is_printed(run):
    assert (run[1] / "curvature-cpu.md").read_text() == run[0].rstrip("\n") + "\n"


def test_every_row_has_ours_and_its_aims(run):
    sections = json.loads((run[1] / "all.json").read_text())
    assert len(sections) == len(ROWS.split(","))
    for section in sections:
        first, *cells = section["rows"][0]
        assert cells
        assert "–" not in cells, first
        assert section["aims"]


def test_aims_that_are_counted_are_met_in_a_quick_run(run):
    sections = json.loads((run[1] / "all.json").read_text())
    aims = {aim["words"]: aim["met"] for section in sections for aim in section["aims"]}
    counted_aims = {words: met for words, met in aims.items() if "our product takes" not in words}
    assert counted_aims
    assert all(counted_aims.values()), counted_aims


def test_a_timed_aim_is_not_decided_by_a_quick_run(run):
    timed = [a for s in json.loads((run[1] / "all.json").read_text()) for a in s["aims"]]
    values = [aim["value"] for aim in timed if "our product takes" in aim["words"]]
    assert values == [None] * 3


# The networks are of the size that their papers, or the issue, give.


@pytest.mark.parametrize(
    "model, size",
    [
        (resnet20(), 269_722 + 2_560),  # that of option A, and two projections
        (mlp((784, 512, 512, 10)), 669_706),
        (trained(0).model, 1_614),
        (exactness.ragged().model, 236),
    ],
)
def test_networks_have_their_size(model, size):
    assert sum(p.numel() for p in model.parameters()) == size


def test_a_gpt_predicts_each_word_from_those_before_it():
    model, words = GPT(tokens=11, width=8, heads=2, context=6).double(), torch.randint(11, (1, 6))
    changed = words.clone()
    changed[0, 3] = (changed[0, 3] + 1) % 11
    moved = (model(words) - model(changed)).abs().sum(1) > 1e-12
    assert moved.tolist() == [False] * 3 + [True] * 3


def test_timed_problems_have_one_batch_and_names():
    problems = list(timed_problems(quick=True))
    assert [problem.title for problem in problems] == ["MLP", "ResNet-20", "GPT"]
    assert all(len(problem.data) == 1 for problem in problems)


# The yardsticks.


class Quartic(nn.Module):
    def __init__(self):
        super().__init__()
        self.at = nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))

    def forward(self, inputs):
        return inputs.sum() * (self.at**4).sum() / 12


def quartic():
    """x^4 / 12 + y^4 / 12: its Hessian is diag(x^2, y^2)."""
    data = [(torch.ones(1, dtype=torch.float64), torch.zeros(1))]
    return Problem("", Quartic(), lambda output, _: output, data)


def test_the_dense_reference_is_the_hessian():
    assert torch.equal(dense_hessian(quartic()), torch.diag(torch.tensor([1.0, 4.0]).double()))


def test_differences_give_the_product():
    found = by_differences(quartic(), torch.tensor([1.0, 3.0], dtype=torch.float64))
    assert found.tolist() == pytest.approx([1.0, 12.0], rel=1e-8)


def test_a_wrong_product_is_called_wrong():
    problem = demanding.case("", mlp((4, 5, 3)), torch.randn(6, 4))
    vector = torch.randn(problem.size, dtype=torch.float64)
    right = by_differences(problem, vector)
    said = [
        demanding.verdict(make, problem, vector, right)[0]
        for make in (ours, off_by_a_millionth, drifting, meddling, refusing)
    ]
    assert said == ["right", "wrong", "unsteady", "right", "refused"]


def off_by_a_millionth(problem):
    product = ours(problem)
    return lambda v: product(v) * (1 + 1e-6)


def drifting(problem):
    product, calls = ours(problem), []

    def drifted(v):
        calls.append(1)
        return product(v) * (1 + 1e-2 * (len(calls) - 1))

    return drifted


def meddling(problem):
    """Changes a buffer, where there is one."""
    for buffer in problem.model.buffers():
        buffer += 1
    return ours(problem)


def refusing(problem):
    raise ValueError("no")


def test_changed_buffers_are_noticed():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()
    problem = demanding.case("", model, torch.randn(6, 4))
    own = problem.copied()
    own.model[1].num_batches_tracked += 1
    assert demanding.judged(0.0, 0.0, own, problem)[0] == "changes"


def test_operations_are_counted_with_a_gradient_as_three_forward_passes():
    problem = classification("", mlp((8, 16, 10)), torch.randn(5, 8))
    forward = 2 * 5 * (8 * 16 + 16 * 10)
    inputs_need_none = 2 * 5 * 8 * 16
    assert counted(lambda: one_gradient(problem))[0] == 3 * forward - inputs_need_none


def test_flat_vectors_and_parts_are_the_same_numbers():
    problem = classification("", mlp((3, 4, 2)), torch.randn(5, 3), 2)
    vector = torch.randn(problem.size)
    assert torch.equal(flat(parts(problem, vector)), vector)


def test_missing_eigenvalues_are_infinitely_wrong():
    right = torch.tensor([4.0, 2.0])
    assert error_of([4.0, 2.2], right) == pytest.approx(0.1)
    assert error_of([4.0], right) == math.inf


@pytest.mark.parametrize("end", [(3, "largest"), (1, "smallest")])
def test_the_fewest_products_are_those_of_a_right_answer(end):
    spectrum = torch.linspace(-1, 1, 300, dtype=torch.float64) ** 3
    fewest, stopped, error = solved(by_thalweg("likely"), end, torch.diag(spectrum), spectrum, 0)
    assert error <= 1e-4
    assert 10 < fewest <= stopped < 200


def test_a_solver_that_is_never_right_has_no_fewest():
    spectrum = torch.linspace(-1, 1, 50, dtype=torch.float64)
    wrong = lambda *_: ([0.999], 7)
    fewest, stopped, error = solved(wrong, (1, "largest"), torch.diag(spectrum), spectrum, 0)
    assert (fewest, stopped) == (math.inf, 7)
    assert error == pytest.approx(1e-3)


def test_estimates_of_the_trace_are_held_to_it():
    spectrum = torch.linspace(0, 1, 200, dtype=torch.float64)
    operator, right = Dense(torch.diag(spectrum)), float(spectrum.sum())
    seen = ours_of_trace(operator, "krylov", right, range(10))
    assert seen.worst < 0.1
    assert seen.coverage >= 0.8
    assert ours_of_trace(operator, "krylov", 2 * right, range(3)).coverage == 0


def test_a_bound_that_does_not_hold_is_counted(monkeypatch):
    spectrum = torch.linspace(-1, 3, 40, dtype=torch.float64)
    dense = torch.diag(spectrum)
    held = [certificates.Held() for _ in range(3)]
    monkeypatch.setattr(certificates, "LENGTHS", (8,))
    certificates.hold_to(dense, spectrum, 0, *held)
    assert [one.wrong for one in held[::2]] == [0, 0]
    certificates.hold_to(dense, spectrum + 0.05, 0, *held)
    assert held[2].wrong == 0  # within the outer bounds of a short run
    certificates.hold_to(dense, spectrum + 50, 0, *held)
    assert held[0].wrong == 10
    assert held[2].wrong == 1


def test_the_distance_between_densities_is_wassersteins():
    spectrum = torch.tensor([0.0, 1.0, 2.0, 4.0], dtype=torch.float64)
    shifted = densities.of_nodes(spectrum + 0.4, torch.full((4,), 0.25, dtype=torch.float64))
    assert densities.distance(shifted, spectrum) == pytest.approx(0.1, abs=2e-4)
    right = densities.of_nodes(spectrum, torch.full((4,), 0.25, dtype=torch.float64))
    assert densities.distance(right, spectrum) == pytest.approx(0, abs=1e-12)


def test_a_density_on_a_grid_becomes_shares():
    grid = torch.linspace(0, 2, 201, dtype=torch.float64)
    cumulative = densities.of_grid(grid, 7 * torch.ones_like(grid))
    places = torch.tensor([-1.0, 0.5, 1.5, 3.0], dtype=torch.float64)
    assert cumulative(places).tolist() == pytest.approx([0, 0.25, 0.75, 1])


def test_errors_and_coverage_of_estimates():
    seen = Seen([0.03, -0.04], [True, False])
    assert seen.rms == pytest.approx(0.05 / math.sqrt(2))
    assert seen.row("x") == ["x", "3.54%", "4.0%", "50.0%", "2"]
    assert Seen([0.1], []).row("x")[3] == "no interval"


def test_the_measured_rate_of_divergence_is_that_of_the_recursion():
    problem = divergence.quadratic(10.0)  # largest curvature 3.7
    found = divergence.threshold(problem, {}, about=0.7, bisections=10)
    assert found == pytest.approx(2 / 3.7, rel=2e-3)
    found = divergence.threshold(problem, {"momentum": 0.5}, about=0.7, bisections=10)
    assert found == pytest.approx(3 / 3.7, rel=2e-3)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux counts this")
def test_memory_seen_is_that_at_the_highest():
    def work():
        torch.ones(20_000_000)  # 80 MB, given back at once
        return torch.ones(5_000_000).sum()

    seen, _ = memory.highest_during(work)
    assert 75e6 < seen < 120e6


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux counts this")
def test_a_run_within_a_cap_says_so():
    found = memory.run(width=100, cap=1_000_000)
    assert found["products"] > found["held"]
    assert found["restarts"] > 0
    assert found["stated"] <= 1_000_000


@pytest.mark.parametrize(
    "aim, line",
    [
        (Aim("a", 2.04, 2.0, 1), "* a: 2.04, met"),
        (Aim("a", 2.06, 2.0, 1), "* a: 2.06, **missed**"),
        (Aim("a", 2.04, 2.0), "* a: 2.04, **missed**"),
        (Aim("a", None, 2.0), "* a: not measured"),
        (Aim("a", 3.0, 2.0, shown="three"), "* a: three, **missed**"),
    ],
)
def test_aims_are_held_in_their_own_digits(aim, line):
    assert aim.line() == line


def test_a_section_is_a_table_with_its_aims():
    section = Section("T", "words", ["", "x"], [["a", "1"]], ["a note"], [Aim("b", 1.0, 1.0)])
    title, words, table, note, head, aims = section.markdown().split("\n\n")
    assert (title, words, note, head) == ("## T", "words", "* a note", "Aims:")
    assert table.splitlines()[2].split() == ["|", "a", "|", "1", "|"]
    assert aims == "* b: 1, met"


def test_who_is_not_installed_is_named():
    missing = [peer for peer in PEERS.values() if not peer.installed]
    assert all(peer.title == peer.name for peer in missing)


def test_errors_are_relative():
    right = torch.tensor([3.0, 4.0])
    assert relative_error(right + torch.tensor([0.0, 0.5]), right) == pytest.approx(0.1)
