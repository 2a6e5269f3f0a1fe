"""Values of options: what is read, and what is refused."""

from argparse import ArgumentTypeError

import pytest

from thalweg.cli import values

READ = [
    (values.duration, "90", 90.0),
    (values.duration, "90s", 90.0),
    (values.duration, " 5m ", 300.0),
    (values.duration, "1.5h", 5400.0),
    (values.duration, ".5", 0.5),
    (values.positive, "1e-3", 1e-3),
    (values.count, "500", 500),
    (values.seed, "0", 0),
    (values.seed, str(2**32 - 1), 2**32 - 1),
    (values.names, "a, b,", ("a", "b")),
    (values.called, "lbfgs", ("lbfgs", {})),
    (values.called, " newton-cg ", ("newton-cg", {})),
    (values.called, "lbfgs()", ("lbfgs", {})),
    (values.called, "polak-ribiere+ (x=1)", ("polak-ribiere+", {"x": 1})),
    (
        values.called,
        "f(a=-1.5e-3, b=(0.9, 0.99), c=word, d='two words', e=True, g=None)",
        (
            "f",
            {"a": -1.5e-3, "b": (0.9, 0.99), "c": "word", "d": "two words", "e": True, "g": None},
        ),
    ),
]
REFUSED = [
    *[(values.duration, text) for text in ("", "0", "0m", "-5", "5 minutes", "1e3", "m", "inf")],
    *[(values.positive, text) for text in ("", "0", "-1", "nan", "inf", "fast")],
    *[(values.count, text) for text in ("", "0", "-1", "1.5", "1e3", "²")],
    *[(values.seed, text) for text in ("", "-1", str(2**32), "1.0")],
    *[(values.names, text) for text in ("", ",", " , ")],
    *[
        (values.called, text)
        for text in ("", "(a=1)", "f(1)", "f(a)", "f(a=1", "f(a=1))", "f(**a)")
    ],
    *[(values.called, text) for text in ("f(a=g())", "f(a=x.y)", "f(a=1)(b=2)", "f(a=1) + g")],
]


@pytest.mark.parametrize("read, text, value", READ)
def test_read(read, text, value):
    assert read(text) == value


@pytest.mark.parametrize("read, text", REFUSED)
def test_refused(read, text):
    with pytest.raises(ArgumentTypeError):
        read(text)
