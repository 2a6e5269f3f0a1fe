"""Batch, minibatch and online learning of digits, by the gradients that they take.

python examples/training/fit.py --picture fit.svg
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from thalweg.optim import Momentum
from thalweg.training import fit
from thalweg.training.losses import zero_one_loss

TARGET = 0.1  # held-out 0-1 loss
# Size of a batch, learning rate, epochs: the noisier the gradient, the smaller a rate it bears.
WAYS = {"batch": ("all", 1.0, 60), "minibatches of 32": (32, 0.05, 20), "online": (1, 0.002, 4)}


def data():
    """Digits, a training and a held-out half."""
    digits = load_digits()
    x, y = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    rows = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    return [(x[part], y[part]) for part in (rows[:900], rows[900:])]


def trained(way):
    """The history of one way of learning, early stopping on the held-out 0-1 loss."""
    size, rate, epochs = WAYS[way]
    torch.manual_seed(0)
    train, held_out = data()
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    return fit(
        model,
        cross_entropy,
        train,
        held_out,
        Momentum(model.parameters(), lr=rate, momentum=0.9),
        epochs=epochs,
        batch_size=size,
        metric=zero_one_loss,
        patience=6,
    )


def samples_to_target(fitted):
    """Samples whose gradient was taken until the held-out 0-1 loss reached the target."""
    return next(e.samples for e in fitted.epochs if e.validation_metric <= TARGET)


def picture(histories):
    """The held-out 0-1 loss over the samples whose gradient was taken."""
    import altair as alt

    rows = [
        {"way": way, "samples": epoch.samples, "error": 100 * epoch.validation_metric}
        for way, fitted in histories.items()
        for epoch in fitted.epochs
    ]
    return (
        alt.Chart(alt.Data(values=rows), width=620, height=260)
        .mark_line(strokeWidth=2.2, point=alt.OverlayMarkDef(size=22))
        .encode(
            x=alt.X("samples:Q", title="samples whose gradient was taken"),
            y=alt.Y("error:Q", title="held-out 0-1 loss, %",
                    scale=alt.Scale(type="log", domain=[2, 100])),
            color=alt.Color(
                "way:N", title=None, sort=None,
                scale=alt.Scale(domain=list(WAYS), range=["#8a949d", "#3b8fc4", "#d9702b"]),
            ),
        )
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_axis(
            labelColor="#78838d", titleColor="#78838d", titleFontWeight="normal",
            gridColor="#9aa4ad", gridOpacity=0.35, domain=False,
        )
        .configure_legend(labelColor="#78838d", orient="top", symbolSize=400)
        .configure_view(stroke=None)
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", metavar="FILE.svg", help="draw the curves, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    histories = {way: trained(way) for way in WAYS}
    print("                   samples to 10 %  samples  best epoch  0-1 loss  surrogate loss")
    for way, fitted in histories.items():
        best = fitted.best
        print(
            f"{way:<17}  {samples_to_target(fitted):15}  {fitted.samples:7}  {best.number:10}"
            f"  {best.validation_metric:8.3f}  {best.validation_loss:14.3f}"
        )
    if options.picture:
        picture(histories).save(options.picture)


if __name__ == "__main__":
    main()
