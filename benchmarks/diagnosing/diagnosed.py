"""One case diagnosed as a user would, by the command, and its remedy run."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from diagnosing.cases import metric_in, repaired

DECIDED = (0, 1, 3)  # exit codes of a diagnosis that was made


def diagnosed(case, timeout=600.0):
    """What became of a case, as plain data: the report, the seconds, the metrics."""
    row = {"name": case.name, "healthy": case.healthy, "accept": list(case.accept), "report": None}
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "report.json"
        plain, row["plain_seconds"] = _run([str(case.script)], scratch, timeout, module=())
        row["faulty"] = metric_in(plain.stdout)
        told, row["seconds"] = _run(["diagnose", "--json", str(out), str(case.script)], scratch,
                                    timeout)  # fmt: skip
        if told.returncode in DECIDED and out.exists():
            row["report"] = json.loads(out.read_text())
        else:
            row["error"] = f"exit code {told.returncode}: {told.stderr.strip()[-300:]}"
        if not case.healthy:
            row["fixed"] = metric_in(_run([str(case.fixed)], scratch, timeout, module=())[0].stdout)
            row |= _remedied(case, row, out, scratch, timeout)
    return row


def _remedied(case, row, out, scratch, timeout):
    if not (row["report"] or {}).get("findings"):
        return {"remedied": None, "repaired": False}
    run, _ = _run(["run", "--apply", str(out), str(case.script)], scratch, timeout)
    value = metric_in(run.stdout)
    return {"remedied": value, "repaired": repaired(case, row["faulty"], value, row["fixed"])}


def _run(words, folder, timeout, module=("-m", "thalweg")):
    """A child of this interpreter in that folder, and its seconds; one that hangs fails."""
    start = time.perf_counter()
    command = [sys.executable, *module, *words]
    try:
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, "SEED": "0"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        done = subprocess.CompletedProcess(command, 124, "", f"no end after {timeout:g} s")
    return done, time.perf_counter() - start
