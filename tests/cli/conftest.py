"""A small valid report for the commands that read or write one."""

from typing import Any

import pytest


@pytest.fixture
def report_data() -> dict[str, Any]:
    """The report of a healthy script, as plain data of schema 1."""
    return {
        "schema": 1,
        "thalweg": "0.1.0",
        "script": {
            "path": "train.py",
            "arguments": [],
            "steps": 10,
            "seconds": 0.1,
            "finished": True,
        },
        "verdict": "healthy",
        "reason": "Nothing that was tried trains better.",
        "findings": [],
        "ruled_out": [],
        "baseline": {
            "name": "unchanged",
            "interventions": [],
            "seed": 0,
            "ended": "finished",
            "reason": "",
            "seconds": 0.1,
            "steps": 10,
            "loss": {"steps": [0, 9], "values": [2.0, 1.0]},
            "measure": None,
            "score": 1.0,
            "gain": None,
        },
        "budget": {
            "seconds": 1.0,
            "limit": 300.0,
            "plain_seconds": 0.1,
            "trials": 1,
            "interrupted": False,
        },
        "environment": {"python": "3.11", "torch": "2.13", "platform": "Linux", "device": "cpu"},
    }
