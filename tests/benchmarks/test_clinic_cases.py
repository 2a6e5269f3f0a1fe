"""The clinic: every case is well formed and gives nothing away; the gate judges by its rule."""

import ast
import difflib
import io
import json
import math
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest
import torch

CLINIC = Path(__file__).parents[2] / "clinic"
sys.path.insert(0, str(CLINIC))

from causes import CAUSES  # noqa: E402
from changes import moments, rewrite, standardize  # noqa: E402
from gate import HALVES, main, metric, read  # noqa: E402
from rule import Run, gains, is_better, share  # noqa: E402

CASES = [path.parent for half in HALVES for path in sorted(half.glob("*/case.json"))]
SCRIPTS = [script for case in CASES for script in sorted(case.glob("*.py"))]
ABOUT = {
    "source": str,
    "accept": list,
    "metric": str,
    "higher_is_better": bool,
    "style": str,
    "note": str,
}
ALLOWED = sys.stdlib_module_names | {"torch", "numpy", "sklearn"}
MOST_CHANGED_LINES = 12
TELLTALE = re.compile(
    r"\b(bugs?|fault\w*|faulty|broken|mistakes?|fix(ed)?|todo|should|too|forgot\w*|purpose\w*|"
    r"diverg\w+|explod\w+|vanish\w+|dead|dying|saddle|plateau|unstable|cliff|saturat\w+|overfit\w*|"
    r"underfit\w*|ill.condition\w*|learning rate|healthy|diagnos\w+|thalweg)\b",
    re.IGNORECASE,
)


def name_of(path):
    return str(path.relative_to(CLINIC))


def about(case):
    return json.loads((case / "case.json").read_text(encoding="utf-8"))


def prose(source):
    """Comments and docstrings: what the writer tells the reader."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    yield from (token.string for token in tokens if token.type == tokenize.COMMENT)
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, holders) and (text := ast.get_docstring(node)):
            yield text


def imports(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


def changed_lines(before, after):
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [line for line in lines if line[:2] in ("- ", "+ ")]


def test_both_halves_have_faulty_and_healthy_cases():
    for half in HALVES:
        kinds = [bool(about(case)["accept"]) for case in CASES if case.parent == half]
        assert {True, False} == set(kinds)


def test_names_are_unique_over_both_halves():
    names = [case.name for case in CASES]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_case_says_what_is_known(case):
    facts = about(case)
    assert {key: type(value) for key, value in facts.items()} == ABOUT
    assert set(facts["accept"]) <= set(CAUSES)
    assert len(facts["note"]) > 20


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_case_is_a_pair_or_healthy(case):
    scripts = {path.name for path in case.glob("*.py")}
    assert scripts == ({"faulty.py", "fixed.py"} if about(case)["accept"] else {"healthy.py"})


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_script_follows_the_format(script):
    source = script.read_text(encoding="utf-8")
    compile(source, str(script), "exec")
    assert ast.get_docstring(ast.parse(source))
    assert set(imports(source)) <= ALLOWED
    assert all(piece in source for piece in ('"SEED"', "set_num_threads(1)", "metric="))


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_script_gives_nothing_away(script):
    told = [TELLTALE.search(text) for text in prose(script.read_text(encoding="utf-8"))]
    assert [found[0] for found in told if found] == []


@pytest.mark.parametrize("case", [case for case in CASES if about(case)["accept"]], ids=name_of)
def test_a_mended_script_differs_in_few_lines(case):
    before, after = (case / name for name in ("faulty.py", "fixed.py"))
    assert 1 <= len(changed_lines(before.read_text(), after.read_text())) <= MOST_CHANGED_LINES


@pytest.mark.parametrize("text", ["x = 1  # too high", '"""A dead unit."""', "# TODO: shuffle"])
def test_telltale_words_are_noticed(text):
    assert any(TELLTALE.search(line) for line in prose(text))


# Gains 1, 2, 3 (or a shift of them): mean 2, standard error 1 / sqrt(3) = 0.577.
@pytest.mark.parametrize(
    "before, after, higher, better",
    [
        ([0.5, 0.5, 0.5], [0.6, 0.7, 0.8], True, True),
        ([0.5, 0.5, 0.5], [0.52, 0.52, 0.52], True, False),  # below the margin
        ([0.5, 0.5, 0.5], [0.9, 0.9, 0.49], True, False),  # worse with one seed
        ([0.5, 0.5, 0.5], [0.51, 0.51, 0.99], True, False),  # 0.17 is 1.06 standard errors
        ([1.0, 1.0, 1.0], [0.89, 0.88, 0.87], False, True),
        ([1.0, 1.0, 1.0], [0.92, 0.92, 0.92], False, False),  # 8 % of the error
        ([math.nan, 1.0, 1.0], [0.99, 0.99, 0.99], False, True),
        ([1.0, 1.0, 1.0], [0.1, math.nan, 0.1], False, False),
        ([math.nan, math.nan], [math.inf, math.nan], False, False),
    ],
)
def test_better_means_every_seed_beyond_chance_and_margin(before, after, higher, better):
    runs = [[Run(value, 0.0) for value in values] for values in (before, after)]
    assert is_better(*runs, higher) is better


def test_a_run_without_a_metric_is_infinitely_bad():
    lost, run = [Run(math.nan, 0.0)], [Run(0.3, 0.0)]
    assert gains(lost, run, False) == gains(lost, run, True) == [math.inf]
    assert gains(run, lost, False) == gains(run, lost, True) == [-math.inf]


@pytest.mark.parametrize(
    "plain, mended, other, higher, expected",
    [
        (0.5, 0.9, 0.8, True, 0.75),
        (2.0, 1.0, 1.5, False, 0.5),
        (2.0, 1.0, 3.0, False, -1.0),
        (2.0, 1.0, math.nan, False, 0.0),
        (math.nan, 1.0, 1.05, False, 1.0),
        (math.nan, 1.0, 1.2, False, 0.0),
        (math.nan, 0.9, 0.8, True, 0.0),
    ],
)
def test_the_share_of_the_gap_that_a_change_closes(plain, mended, other, higher, expected):
    runs = [Run(value, 0.0) for value in (plain, mended, other)]
    assert share(*runs, higher) == pytest.approx(expected)


@pytest.mark.parametrize(
    "printed, value",
    [("epoch 1\nmetric=0.25\n", 0.25), ("metric=nan", math.nan), ("metric=1\nbye", math.nan)],
)
def test_the_metric_is_read_from_the_last_line(printed, value):
    assert metric(printed) == pytest.approx(value, nan_ok=True)


def test_numbers_are_rewritten_by_name():
    source = "EPOCHS = 3\nlr = 0.5\nfor epoch in range(7):\n    fit(steps=2, size=4)"
    longer = rewrite(source, {"epochs", "steps"}, 4, frozenset({"epoch"}))
    assert longer == "EPOCHS = 12\nlr = 0.5\nfor epoch in range(28):\n    fit(steps=8, size=4)"
    assert "lr = 0.05" in rewrite(source, {"lr"}, 0.1)


def test_moments_are_per_feature_and_per_channel():
    rows = torch.tensor([[0.0, 5.0], [2.0, 5.0]], dtype=torch.float64)
    mean, spread = moments(rows)
    assert mean.tolist() == [[1.0, 5.0]]
    assert spread.tolist() == [[1.0, 1.0]]  # a constant feature is left as it is
    images = torch.arange(16.0, dtype=torch.float64).reshape(2, 2, 2, 2)
    assert moments(images)[0].flatten().tolist() == [5.5, 9.5]


def test_models_and_their_averages_are_given_standardized_inputs():
    x = 5.0 + 3.0 * torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    model, average = (torch.nn.Linear(2, 2) for _ in range(2))
    for layer in (model, average):
        torch.nn.init.eye_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    changed = standardize(lambda: model(x).sum().backward())
    try:
        with torch.no_grad():
            outputs = [model(x), average(x)]
    finally:
        changed.stop()
    for output in outputs:
        torch.testing.assert_close(output.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
        torch.testing.assert_close(output.std(0, correction=0), torch.ones(2))


LINE = '''"""Fit a line."""
import os
import torch
torch.manual_seed(int(os.environ.get("SEED", "0")))
torch.set_num_threads(1)
x = torch.randn(50, 1)
y = 3 * x + 0.1 * torch.randn(50, 1)
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr={rate})
for step in range(40):
    loss = torch.nn.functional.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"metric={{(model.weight.item() - 3) ** 2 + 1e-3:.6f}}")
'''


def write(folder, **rates):
    folder.mkdir()
    accept = ["learning-rate-too-low"] if "faulty" in rates else []
    facts = {"accept": accept, "metric": "squared error", "higher_is_better": False}
    (folder / "case.json").write_text(json.dumps(facts))
    for name, rate in rates.items():
        (folder / f"{name}.py").write_text(LINE.format(rate=rate))


def test_the_gate_passes_a_real_fault_and_stops_a_healthy_claim(tmp_path):
    write(tmp_path / "creeping", faulty=0.002, fixed=0.2)
    write(tmp_path / "claimed", healthy=0.02)
    command = [sys.executable, CLINIC / "gate.py", tmp_path]
    command += ["--alternatives", "rate x100", "rate x0.1", "longer x4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr
    claimed, _, reason, creeping, shares, total = done.stdout.splitlines()
    assert claimed.startswith("FAIL claimed")
    assert reason.strip() == "better with rate x10"
    assert creeping.startswith("ok   creeping")
    closed = dict(re.findall(r"([a-z]+ x[\d.]+) (-?[\d.]+)", shares))
    assert float(closed["rate x100"]) == pytest.approx(1.0, abs=1e-3)
    assert float(closed["rate x0.1"]) < 0 < float(closed["longer x4"]) < 0.9
    assert total == "1 of 2 pass"


def test_an_unknown_case_is_refused(tmp_path, capsys):
    write(tmp_path / "line", healthy=0.2)
    assert main([str(tmp_path), "--only", "lime"]) == 2
    assert "No such case: lime" in capsys.readouterr().err


def test_a_cause_outside_the_vocabulary_is_refused(tmp_path):
    write(tmp_path / "line", healthy=0.2)
    facts = {"accept": ["rate-too-high"], "higher_is_better": False}
    (tmp_path / "line" / "case.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="'rate-too-high' is no cause"):
        read(tmp_path / "line")
