"""Sample reports, one per shape that a diagnosis can take."""

import copy
import math
import random
from typing import Any

import pytest

Data = dict[str, Any]
HOSTILE = (
    "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>&amp;\"'[red]"
)
STEERING = "\x1b[2J\x07\u202eevil\x00\udcff"


def trial(
    name: str, values: list[float | None], measure: list[list[float]] | None, **other: Any
) -> Data:
    data = {
        "name": name,
        "interventions": [],
        "seed": 0,
        "ended": "finished",
        "reason": "",
        "seconds": 1.2,
        "steps": len(values),
        "loss": {"steps": list(range(len(values))), "values": values},
        "measure": measure
        and {"name": "accuracy at train.py:35", "higher_is_better": True, "values": measure},
        "score": values[-1] if values else None,
        "gain": None,
    }
    return data | other


def noisy(
    start: float, end: float, rate: float, count: int = 690, noise: float = 0.15
) -> list[float]:
    source = random.Random(f"{start} {end} {rate}")
    return [
        (end + (start - end) * math.exp(-rate * step)) * math.exp(source.gauss(0, noise))
        for step in range(count)
    ]


def accuracy(start: float, end: float, count: int = 10, every: int = 69) -> list[list[float]]:
    return [[every * (i + 1) - 1, end + (start - end) * math.exp(-0.8 * i)] for i in range(count)]


def measured(value: Any, says: str, **other: Any) -> Data:
    return {"value": value, "unit": "", "limit": None, "error": None, "says": says} | other


def obstructed() -> Data:
    stuck = trial("as it is", noisy(2.6, 2.42, 0.01), accuracy(0.09, 0.11))
    factor = [{"kind": "learning-rate", "factor": 0.1}]
    mended = trial(
        "learning rate x 0.1",
        noisy(2.3, 0.04, 0.012, noise=0.3),
        accuracy(0.71, 0.962),
        interventions=factor,
        gain=0.97,
    )
    half = trial("learning rate x 0.5", noisy(2.5, 1.3, 0.005), accuracy(0.2, 0.55), gain=0.41)
    clipped = trial("clip at norm 1", noisy(2.4, 2.2, 0.004), accuracy(0.1, 0.17), gain=0.06)
    scaled = trial("standardized inputs", noisy(2.6, 2.38, 0.01), accuracy(0.09, 0.12), gain=0.01)
    fresh = trial("fresh weights", noisy(2.7, 2.41, 0.02), None, gain=0.0)
    adam = trial("Adam at its defaults", noisy(2.3, 0.3, 0.006), accuracy(0.6, 0.9), gain=0.88)
    return {
        "schema": 1,
        "thalweg": "0.1.0",
        "script": {
            "path": "train.py",
            "arguments": [],
            "steps": 690,
            "seconds": 1.2,
            "finished": True,
        },
        "verdict": "obstructed",
        "reason": "The loss stays where it began because every step overshoots; a tenth of the "
        "learning rate removes 97 % of the harm.",
        "findings": [
            {
                "cause": "learning-rate-too-high",
                "confidence": 0.97,
                "summary": "The learning rate of 8 is three times the largest that the curvature "
                "allows (2.67), so each step jumps over the valley it means to enter.",
                "evidence": {
                    "stability_ratio": measured(
                        3.0,
                        "The learning rate over 2/λ_max; above 1, steps overshoot.",
                        limit=1.0,
                        error=0.04,
                    ),
                    "sharpness": measured(0.7491, "Largest eigenvalue of the Hessian.", error=0.01),
                    "loss_rises": measured(
                        48.7,
                        "Share of steps after which the loss on the same batch was higher.",
                        unit="%",
                        limit=20,
                    ),
                    "layers": measured(["0.weight", "2.weight"], "The layers that swing most."),
                },
                "trials": [mended, half, adam],
                "remedy": {
                    "interventions": factor,
                    "says": "Multiply the learning rate by 0.1 (8 to 0.8).",
                    "edit": "optimizer = torch.optim.SGD(model.parameters(), lr=0.8)",
                },
                "verified": {
                    "held": True,
                    "seeds": [0, 1, 2],
                    "measure": "accuracy at train.py:35",
                    "higher_is_better": True,
                    "before": [0.108, 0.094, 0.121],
                    "after": [0.962, 0.957, 0.959],
                    "gain": 0.8517,
                    "error": 0.0082,
                    "says": "Better on each of three seeds.",
                },
                "symptoms": [
                    {
                        "cause": "dead-units",
                        "summary": "41 % of the hidden units give zero for every input; with the "
                        "smaller learning rate 3 % do.",
                        "evidence": {
                            "dead_share": measured(0.41, "Share of hidden units.", limit=0.2)
                        },
                    },
                    {
                        "cause": "exploding-gradient",
                        "summary": "Gradient norms of up to 3,100 appear and vanish with it.",
                        "evidence": {},
                    },
                ],
            },
            {
                "cause": "weak-optimizer",
                "role": "alternative",
                "confidence": 0.03,
                "summary": "Adam at its usual settings helps too, but less.",
                "evidence": {
                    "speedup": measured(1.4, "Steps to the same loss.", unit="x", limit=2)
                },
                "trials": [adam],
                "remedy": None,
                "verified": None,
                "symptoms": [],
            },
        ],
        "control": {
            "runs": 12,
            "interventions": [{"kind": "learning-rate", "factor": 0.05}],
            "random": [0.91, 0.9, 0.92],
            "remedied": [0.962, 0.957, 0.959],
            "says": "The remedy is better than the best of 12 random changes.",
        },
        "ruled_out": [
            {
                "cause": "unscaled-inputs",
                "why": "Standardizing the inputs changed nothing.",
                "trial": scaled,
            },
            {
                "cause": "exploding-gradient",
                "why": "Clipping removed 6 % of the harm.",
                "trial": clipped,
            },
            {
                "cause": "symmetric-initialization",
                "why": "Fresh weights fared no better.",
                "trial": fresh,
            },
            {
                "cause": "stale-gradients",
                "why": "Gradients are cleared before each step.",
                "trial": None,
            },
            {"cause": "untrained-parameters", "why": "Every parameter moves.", "trial": None},
        ],
        "baseline": stuck,
        "budget": {
            "seconds": 41.2,
            "limit": 300.0,
            "plain_seconds": 5.0,
            "trials": 14,
            "interrupted": False,
        },
        "environment": {
            "python": "3.11.7",
            "torch": "2.13.0",
            "platform": "Linux x86_64",
            "device": "cpu",
        },
    }


def healthy() -> Data:
    good = trial("as it is", noisy(2.3, 0.05, 0.01), accuracy(0.7, 0.97))
    reason = "The loss falls steadily, and none of nine changes made it fall faster."
    return obstructed() | {"verdict": "healthy", "reason": reason, "findings": [], "baseline": good}


def unknown() -> Data:
    reason = "The script ended after 40 steps, too few to tell a slow start from a fault."
    short = trial("as it is", noisy(2.3, 2.2, 0.01, count=40), None, ended="steps")
    return obstructed() | {
        "verdict": "unknown",
        "reason": reason,
        "findings": [],
        "baseline": short,
    }


def minimal() -> Data:
    nothing = {"steps": None, "seconds": None, "finished": False}
    budget = {
        "seconds": 0.0,
        "limit": None,
        "plain_seconds": None,
        "trials": 0,
        "interrupted": True,
    }
    return obstructed() | {
        "script": {"path": "train.py", "arguments": [], **nothing},
        "verdict": "unknown",
        "reason": "",
        "findings": [],
        "ruled_out": [],
        "baseline": None,
        "budget": budget,
    }


def bare() -> Data:
    """An obstacle whose finding has neither proof, remedy nor evidence."""
    data = obstructed()
    empty = {"evidence": {}, "trials": [], "remedy": None, "verified": None, "symptoms": []}
    data["findings"] = [data["findings"][0] | empty]
    return data | {"ruled_out": [], "baseline": trial("as it is", [], None)}


def non_finite() -> Data:
    data = obstructed()
    exploding: list[float | None] = [2.3 * 10 ** (step / 2) for step in range(60)]
    data["baseline"] = trial(
        "as it is", exploding + [None] * 630, None, ended="crashed", reason="the loss became NaN"
    )
    data["ruled_out"][0]["trial"] = trial("standardized inputs", [None] * 690, None)
    finding = data["findings"][0]
    finding["evidence"]["stability_ratio"]["value"] = None
    finding["verified"] |= {"before": [None, None, None], "gain": None, "error": None}
    return data


def huge() -> Data:
    data = obstructed()
    count = 10_000
    data["baseline"] = trial("as it is", noisy(2.3, 2.2, 1e-3, count), accuracy(0.1, 0.12, 500, 20))
    first = data["findings"][0]["trials"][0]
    first |= trial(
        "learning rate x 0.1", noisy(2.3, 0.02, 1e-3, count), accuracy(0.5, 0.97, 500, 20)
    )
    first["interventions"] = data["findings"][0]["remedy"]["interventions"]
    short = trial("warm-up", noisy(2.3, 2.1, 1e-3, 200), None)
    cleared = {"cause": "plateau", "why": "It moves.", "trial": short}
    data["ruled_out"] = [copy.deepcopy(cleared) for _ in range(14)]
    return data


def hostile() -> Data:
    """Every free text holds markup, terminal codes and a very long word."""
    return dict(hostile_part(obstructed(), HOSTILE + STEERING + "x" * 300))


def hostile_part(value: Any, text: str) -> Any:
    fixed = {"verdict", "ended", "cause", "schema", "role"}
    match value:
        case dict():
            return {k: v if k in fixed else hostile_part(v, text) for k, v in value.items()}
        case list():
            return [hostile_part(item, text) for item in value]
        case str():
            return text
    return value


SAMPLES = {
    make.__name__: make
    for make in (obstructed, healthy, unknown, minimal, bare, non_finite, huge, hostile)
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give every test that asks for `sample` each of the sample reports in turn."""
    if "sample_name" in metafunc.fixturenames:
        metafunc.parametrize("sample_name", SAMPLES, scope="module")


@pytest.fixture(scope="module")
def sample(sample_name: str) -> Data:
    return SAMPLES[sample_name]()


class Samples:
    """The sample reports by name, each made when it is asked for."""

    def __getitem__(self, name: str) -> Data:
        return SAMPLES[name]()


@pytest.fixture
def samples() -> Samples:
    return Samples()
