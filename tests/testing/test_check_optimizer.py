"""`check_optimizer` and its kin: how optimizers are driven, what the report says, who may call."""

import json
import unittest
import warnings

import pytest
import torch
from broken_optimizers import Climbs, DecaysInTheGradient, WritesThroughData
from sound_optimizer import Sound

import thalweg.testing
from thalweg.testing import LAWS, ContractBroken, check_optimizer, optimizer_checks
from thalweg.testing.__main__ import main
from thalweg.testing.contract import law


def verdicts(report):
    return {outcome.law.name: outcome.verdict for outcome in report.outcomes}


# Driving.


def test_an_optimizer_that_needs_a_closure_gets_one():
    report = check_optimizer(torch.optim.LBFGS, only=["closure-is-called", "grad-scaler"])
    assert "by a closure" in report.driven
    assert verdicts(report) == {"closure-is-called": "kept", "grad-scaler": "not applicable"}


def test_an_optimizer_for_sparse_gradients_gets_them():
    report = check_optimizer(torch.optim.SparseAdam)
    assert report.driven == ("by sparse gradients",)
    assert verdicts(report)["late-gradient"] == "kept"


def test_an_optimizer_for_matrices_gets_matrices():
    report = check_optimizer(torch.optim.Muon)
    (outcome,) = (o for o in report.outcomes if o.law.name == "zero-dimensional-parameter")
    assert outcome.verdict == "not applicable"
    assert "Muon only supports 2D parameters" in outcome.said


class Together(Sound):
    """Divides by the norm of all gradients together."""

    def move(self, p, direction, group):
        found = [p.grad for g in self.param_groups for p in g["params"] if p.grad is not None]
        norm = torch.stack([g.norm() for g in found]).norm()
        super().move(p, direction / (1 + float(norm)), group)


def test_parameters_that_depend_on_each_other_are_not_compared_with_lone_ones():
    report = check_optimizer(Together)
    assert report.driven == ("its parameters depend on each other",)
    assert verdicts(report)["late-gradient"] == "not applicable"


class StartsLate(Sound):
    """Gathers ten gradients before its first step, as AdaShift does."""

    def move(self, p, direction, group):
        if self.state[p]["step"] > 10:
            super().move(p, direction, group)


def test_an_optimizer_that_starts_late_is_watched_for_longer():
    assert not check_optimizer(StartsLate).broken


class HasModes(Sound):
    """Steps only in training mode, as Schedule-Free optimizers do."""

    training = False

    def train(self):
        self.training = True

    def step(self, closure=None):
        if not self.training:
            raise RuntimeError("call train() first")
        return super().step(closure)


def test_an_optimizer_with_modes_is_put_into_training():
    assert verdicts(check_optimizer(HasModes, only=["late-gradient"]))["late-gradient"] == "kept"


def test_a_function_that_makes_optimizers_may_be_checked():
    def make(params, **settings):
        return torch.optim.SGD(params, momentum=0.9, **settings)

    report = check_optimizer(make, lr=0.1)
    assert verdicts(report)["pickling"] == "kept"
    assert verdicts(report)["weight-decay-acts"] == "kept"


def test_a_class_that_pickle_cannot_find_is_not_blamed():
    class Local(Sound):
        pass

    assert verdicts(check_optimizer(Local))["pickling"] == "not applicable"


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.complex64], ids=str)
def test_parameters_may_be_given(dtype):
    seen = set()

    class Watched(Sound):
        def advance(self, p, group):
            seen.add(p.dtype)
            super().advance(p, group)

    check_optimizer(Watched, params=[torch.ones(3, 2, dtype=dtype)], only=["late-gradient"])
    assert seen == {dtype}


def test_settings_are_passed_on():
    report = check_optimizer(torch.optim.Adam, lr=0.5, betas=(0.5, 0.6), only=["late-gradient"])
    assert report.call == "Adam(lr=0.5, betas=(0.5, 0.6))"


def test_random_numbers_and_warnings_are_left_as_they_were():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    filters = list(warnings.filters)
    check_optimizer(Sound)
    assert torch.equal(torch.rand(1), expected)
    assert warnings.filters == filters


# The report.


def test_a_broken_law_is_raised_with_what_was_seen_and_why_it_matters():
    with pytest.raises(ContractBroken) as caught:
        check_optimizer(WritesThroughData, lr=0.1)
    text = str(caught.value)
    assert text.startswith("WritesThroughData(lr=0.1): 49 kept, 1 broken")
    assert "autograd-notices-the-step: the parameter's version did not change" in text
    assert LAWS["autograd-notices-the-step"].demand[:40] in text
    assert isinstance(caught.value, AssertionError)
    assert [o.law.name for o in caught.value.report.broken] == ["autograd-notices-the-step"]


def test_without_strict_the_report_is_returned():
    report = check_optimizer(WritesThroughData, strict=False)
    assert len(report.kept) + len(report.broken) == len(LAWS)
    assert "autograd-notices-the-step" in {o.law.name for o in report.broken}


def test_the_report_is_a_table_of_all_laws():
    report = check_optimizer(DecaysInTheGradient, strict=False)
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 100
    for name in LAWS:
        assert sum(line.startswith(f"{name} ") for line in lines) == 1
    assert repr(report) == str(report)


def test_the_report_is_data():
    report = check_optimizer(Climbs, only=["zero-grad", "loss-goes-down"], strict=False)
    data = json.loads(json.dumps(report.as_data()))
    assert data["call"] == "Climbs()"
    assert [(each["law"], each["verdict"]) for each in data["laws"]] == [
        ("zero-grad", "kept"),
        ("loss-goes-down", "broken"),
    ]


# Waivers.


def test_a_waived_law_is_told_apart():
    waived = {"loss-goes-down": "it climbs", "weight-decay-acts": "so"}
    report = check_optimizer(Climbs, waived=waived)
    said = {outcome.law.name: outcome.said for outcome in report.ended("waived")}
    assert said.keys() == waived.keys()
    assert said["loss-goes-down"].startswith("it climbs (the loss went from")


def test_a_waiver_that_is_not_needed_is_a_fault():
    with pytest.raises(ContractBroken, match="it holds; take the waiver away"):
        check_optimizer(Sound, waived={"loss-goes-down": "it climbs"})


# Tests of their own.


def test_every_law_becomes_a_test():
    checks = list(optimizer_checks(Sound, lr=0.1))
    assert [check.law.name for check in checks] == list(LAWS)
    assert checks[0].__name__ == "Sound-gradient-untouched"
    for check in checks:
        check()


def test_a_test_fails_or_is_skipped_as_its_law_is():
    checks = {c.law.name: c for c in optimizer_checks(Climbs, waived={"weight-decay-acts": "so"})}
    with pytest.raises(ContractBroken, match="the loss went from"):
        checks["loss-goes-down"]()
    with pytest.raises(unittest.SkipTest, match="waived: so"):
        checks["weight-decay-acts"]()
    without_state = {c.law.name: c for c in optimizer_checks(torch.optim.SGD)}
    with pytest.raises(unittest.SkipTest, match="not applicable: it has no state"):
        without_state["state-is-swapped-in"]()


SUITE = """
import pytest, torch
from thalweg.testing import optimizer_checks

@pytest.mark.parametrize("check", optimizer_checks(torch.optim.SGD, lr=0.1))
def test_contract(check):
    check()
"""


def test_pytest_names_and_skips_them(tmp_path, monkeypatch):
    (tmp_path / "test_suite_of_a_user.py").write_text(SUITE)
    results = []

    class Watch:
        def pytest_runtest_logreport(self, report):
            if report.when == "call":
                results.append((report.nodeid.partition("[")[2], report.outcome))

    monkeypatch.chdir(tmp_path)
    pytest.main(
        ["-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "."], plugins=[Watch()]
    )
    assert ("SGD-late-gradient]", "passed") in results
    assert ("SGD-state-is-swapped-in]", "skipped") in results
    assert len(results) == len(LAWS)


# Errors.


@pytest.mark.parametrize("call", [check_optimizer, optimizer_checks])
def test_an_optimizer_that_cannot_be_built_is_an_error(call):
    def needs_more(params, total_steps):
        return torch.optim.SGD(params)

    with pytest.raises(ValueError, match=r"it takes no step.*total_steps.*by name"):
        call(needs_more)


def test_what_is_no_optimizer_is_an_error():
    with pytest.raises(TypeError, match=r"it makes a list, which is no torch\.optim\.Optimizer"):
        check_optimizer(list)


def test_an_unknown_law_is_an_error():
    with pytest.raises(ValueError, match=r"no law 'late-gradients'\. Did you mean 'late-gradient'"):
        check_optimizer(Sound, only=["late-gradients"])
    with pytest.raises(ValueError, match=r"no law 'x'\. The laws are gradient-untouched"):
        check_optimizer(Sound, waived={"x": "y"})


def test_a_law_must_say_what_it_demands():
    with pytest.raises(TypeError, match="law half-said: the docstring must give"):

        @law
        def half_said(subject):
            """Something."""

    assert "half-said" not in LAWS


# The command line.


def test_the_door_prints_the_report(capsys):
    assert main(["torch.optim.AdamW", "lr=0.1", "betas=(0.9, 0.99)"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"AdamW(lr=0.1, betas=(0.9, 0.99)): {len(LAWS)} kept, 0 broken")


def test_the_door_ends_with_one_where_a_law_is_broken(capsys):
    assert main(["broken_optimizers.Climbs"]) == 1
    assert "loss-goes-down: the loss went from" in capsys.readouterr().out


def test_the_door_lists_the_laws(capsys):
    assert main(["--laws"]) == 0
    printed = capsys.readouterr().out
    assert all(f"{name} " in printed for name in LAWS)


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "name an optimizer"),
        (["torch.optim.Adan"], "no attribute 'Adan'"),
        (["no_such_package.Adam"], "No module named 'no_such_package'"),
        (["torch.optim.Adam", "0.1"], "0.1: write a setting as name=value"),
        (["torch.optim.Adam", "rate=0.1"], "rate"),
    ],
)
def test_a_wrong_call_of_the_door_is_said(words, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert said in capsys.readouterr().err


def test_the_public_names_are_there():
    assert all(hasattr(thalweg.testing, name) for name in thalweg.testing.__all__)
