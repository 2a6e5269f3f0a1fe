"""Training and held-out risk over the size of the training set, with intervals.

python examples/training/generalization.py --picture generalization.svg
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from thalweg.optim import Adam
from thalweg.training import fit, generalization, learning_curve
from thalweg.training.losses import zero_one_loss

SIZES = (25, 50, 100, 200, 400, 800)


def data():
    """Digits: 800 to learn from, and the rest."""
    digits = load_digits()
    x, y = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    rows = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    return [(x[part], y[part]) for part in (rows[:800], rows[800:])]


def trained(x, y, seed):
    """A linear classifier after forty epochs."""
    torch.manual_seed(seed)
    model = nn.Linear(64, 10)
    fit(model, cross_entropy, (x, y), None, Adam(model.parameters(), lr=0.02), epochs=40)
    return model


def picture(curve):
    """Means over seeds, with their intervals."""
    import altair as alt

    rows = [
        {"samples": point.samples, "data": name, "error": 100 * found.value,
         "low": 100 * max(found.lower, 0.0), "high": 100 * found.upper}
        for point in curve
        for name, found in (("training data", point.train), ("held-out data", point.held_out))
    ]  # fmt: skip
    base = alt.Chart(alt.Data(values=rows), width=620, height=260).encode(
        x=alt.X("samples:Q", title="training samples",
                scale=alt.Scale(type="log", nice=False, padding=20),
                axis=alt.Axis(values=list(SIZES))),
        color=alt.Color("data:N", title=None, sort=None,
                        scale=alt.Scale(range=["#3b8fc4", "#d9702b"])),
    )  # fmt: skip
    lines = base.mark_line(strokeWidth=2.2, point=alt.OverlayMarkDef(size=30)).encode(
        y=alt.Y("error:Q", title="0-1 loss, %")
    )
    bars = base.mark_rule(strokeWidth=1.5).encode(y="low:Q", y2="high:Q")
    return (
        alt.layer(bars, lines)
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_axis(labelColor="#78838d", titleColor="#78838d", titleFontWeight="normal",
                        gridColor="#9aa4ad", gridOpacity=0.35, domain=False)
        .configure_legend(labelColor="#78838d", orient="top")
        .configure_view(stroke=None)
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", metavar="FILE.svg", help="draw the curve, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    train, held_out = data()
    curve = learning_curve(trained, zero_one_loss, train, held_out, SIZES)
    print("samples  training 0-1 loss       held-out 0-1 loss")
    for point in curve:
        print(f"{point.samples:7}  {point.train!s:22}  {point.held_out}")
    found = generalization(trained(*train, seed=0), zero_one_loss, train, held_out)
    print(f"one model of 800: held-out risk {found.held_out}, gap {found.gap}")
    if options.picture:
        picture(curve).save(options.picture)


if __name__ == "__main__":
    main()
