"""Batches that grow do what a falling learning rate does, in fewer steps.

python examples/training/batch_growth.py --picture batch-growth.svg
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import MultiStepLR

from thalweg.training.strategies import BatchGrowth, GrowingBatches

EPOCHS, MILESTONES = 24, (10, 17)
WAYS = ("constant", "rate falls", "batches grow")


def data():
    """Digits, a fifth of them with another label, so that the noise of batches does not vanish."""
    digits = load_digits()
    x, y = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    rows = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))[:768]
    y[rows[::5]] = (y[rows[::5]] + 1) % 10
    return x[rows], y[rows]


def trained(way):
    """The training loss after each epoch, with the number of steps up to there."""
    torch.manual_seed(0)
    x, y = data()
    model = nn.Linear(64, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.8)
    growth = BatchGrowth(8, factor=4, epochs=MILESTONES if way == "batches grow" else ())
    rate = MultiStepLR(optimizer, MILESTONES, gamma=0.25 if way == "rate falls" else 1.0)
    sampler, curve, steps = GrowingBatches(len(y), growth), [], 0
    for epoch in range(EPOCHS):
        for batch in sampler:
            optimizer.zero_grad()
            cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
            steps += 1
        rate.step()
        with torch.no_grad():
            loss = cross_entropy(model(x), y).item()
        curve.append({"way": way, "epochs": epoch + 1, "steps": steps, "loss": loss})
    return curve


def picture(curves):
    """Training loss over epochs, where two ways agree, and over steps, where one needs fewer."""
    import altair as alt

    # Dashes over a line, so that both are seen where they agree.
    colours = alt.Scale(domain=WAYS, range=["#8a949d", "#3b8fc4", "#d9702b"])
    dashes = alt.Scale(domain=WAYS, range=[[1, 0], [1, 0], [6, 4]])
    scale = alt.Scale(type="log", domain=[0.55, 1.3], nice=False)
    axis = alt.Axis(values=[0.6, 0.8, 1.0, 1.2])
    base = (
        alt.Chart(alt.Data(values=curves))
        .mark_line(strokeWidth=2.5)
        .encode(
            y=alt.Y("loss:Q", title="training loss", scale=scale, axis=axis),
            color=alt.Color("way:N", title=None, scale=colours),
            strokeDash=alt.StrokeDash("way:N", title=None, scale=dashes),
        )
    )
    panels = [
        base.encode(x=alt.X(f"{x}:Q", axis=alt.Axis(tickCount=6, grid=False))).properties(
            width=270, height=220
        )
        for x in ("epochs", "steps")
    ]
    return (
        alt.hconcat(*panels)
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_axis(
            labelColor="#78838d",
            titleColor="#78838d",
            titleFontWeight="normal",
            gridColor="#9aa4ad",
            gridOpacity=0.35,
            domain=False,
        )
        .configure_legend(labelColor="#78838d", orient="top", symbolSize=400)
        .configure_view(stroke=None)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", metavar="FILE.svg", help="draw the curves, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    curves = [trained(way) for way in WAYS]
    print("              training loss   steps")
    for *_, last in curves:
        print(f"{last['way']:<12}  {last['loss']:13.3f}  {last['steps']:6}")
    if options.picture:
        picture([row for curve in curves for row in curve]).save(options.picture)


if __name__ == "__main__":
    main()
