"""`thalweg run --optimizer lbfgs`: real scripts, unedited, in processes of their own."""

import re
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "scripts"


def loss_of(done):
    """The loss that a script printed last."""
    assert done.returncode == 0, done.stderr
    return float(re.search(r"^loss (.*)$", done.stdout, re.M)[1])


def test_a_full_batch_gets_further_in_fewer_steps(thalweg):
    plain = thalweg("run", SCRIPTS / "digits.py", "60")
    method = thalweg("run", "--optimizer", "L-BFGS(memory=20)", SCRIPTS / "digits.py", "20")
    assert loss_of(method) < 0.1 * loss_of(plain)
    assert "rate 0.4090" in method.stdout  # 0.5 * 0.99^20: the schedule is the script's
    assert re.fullmatch(
        r"thalweg run: l-bfgs made 20 steps, 20 of them down: \d+ losses with gradients, "
        r"0 products, 0 pairs rejected, 0 searches failed; the last: descending, the loss is "
        r"0\.\d+\n",
        method.stderr,
    )


def test_minibatches_leave_statistics_and_draws_as_they_are(thalweg):
    plain = thalweg("run", SCRIPTS / "minibatches.py")
    words = ("--optimizer", "newton-cg", "--search", "trust-region(subproblem=steihaug)")
    method = thalweg("run", *words, SCRIPTS / "minibatches.py")
    assert loss_of(method) < loss_of(plain)
    assert "updates of the statistics 32" in method.stdout
    same = [one.stdout.rpartition("loss")[0] for one in (plain, method)]
    assert same[0] == same[1]


def test_a_refusal_says_why_and_where(thalweg):
    done = thalweg("run", "--optimizer", "lbfgs", SCRIPTS / "scaled.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert 'scaled.py", line 9, in <module>\n    scaler.step(optimizer)' in done.stderr
    assert done.stderr.rstrip().endswith(
        "Run it with GradScaler(enabled=False) and without autocast"
    )


MISTAKES = {
    "name": (["--optimizer", "lbgfs"], "there is no optimizer or method 'lbgfs'; did you mean"),
    "setting": (
        ["--optimizer", "lbfgs(momory=3)"],
        "l-bfgs has no setting 'momory'; it has memory",
    ),
    "brackets": (["--optimizer", "lbfgs(3)"], "must be a name, or a name with settings, such as"),
    "rate": (["--optimizer", "lbfgs", "--lr", "1"], '--search "fixed(step=0.1)"'),
    "clipping": (["--optimizer", "lbfgs", "--clip", "1"], "--clip: l-bfgs finds its own step"),
    "search": (["--optimizer", "adam", "--search", "armijo"], "adam makes its step without one"),
    "search alone": (["--search", "armijo"], "--search needs a method to search for"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told_before_the_script_runs(name, capsys, tmp_path):
    from thalweg.cli.main import main

    words, said = MISTAKES[name]
    script = tmp_path / "train.py"
    script.write_text("raise SystemExit('it ran')\n")
    assert main(["run", *words, str(script)]) == 2
    assert said in capsys.readouterr().err
