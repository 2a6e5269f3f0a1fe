"""Which weights of a trained network can go: accuracy against sparsity, by three saliencies.

python examples/pruning/digits.py --picture digits.svg
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from thalweg.pruning import curve

SPARSITIES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95)
METHODS = ("magnitude", "brain-damage", "brain-surgeon")


def data():
    """Digits in a random order, 1200 of them to train on."""
    digits = load_digits()
    x, y = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    rows = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    return (x[rows[:1200]], y[rows[:1200]]), (x[rows[1200:]], y[rows[1200:]])


def trained(x, y):
    """A network of six hidden units that has learned the digits."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 6), nn.Tanh(), nn.Linear(6, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(30):
        for batch in torch.randperm(len(y)).split(64):
            optimizer.zero_grad()
            cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return model


def picture(points):
    """Held-out accuracy against sparsity."""
    import altair as alt

    rows = [{"method": p.method, "sparsity": p.sparsity, "accuracy": p.value} for p in points]
    colours = alt.Scale(domain=METHODS, range=["#8a949d", "#b79a3c", "#3b8fc4"])
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=40))
        .encode(
            x=alt.X("sparsity:Q", axis=alt.Axis(format="%", grid=False)),
            y=alt.Y("accuracy:Q", title="held-out accuracy", axis=alt.Axis(format="%")),
            color=alt.Color("method:N", title=None, scale=colours),
        )
        .properties(width=560, height=260)
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_axis(
            labelColor="#78838d",
            titleColor="#78838d",
            titleFontWeight="normal",
            gridColor="#9aa4ad",
            gridOpacity=0.35,
            domain=False,
        )
        .configure_legend(labelColor="#78838d", orient="top", symbolSize=120)
        .configure_view(stroke=None)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", metavar="FILE.svg", help="draw the curves, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    training, (x, y) = data()
    model = trained(*training)

    def accuracy(model):
        with torch.no_grad():
            return (model(x).argmax(1) == y).double().mean().item()

    some = tuple(part[:300] for part in training)
    points = curve(model, accuracy, SPARSITIES, METHODS, data=some)
    print("sparsity       " + "".join(f"{sparsity:7.0%}" for sparsity in SPARSITIES))
    for method in METHODS:
        own = [point.value for point in points if point.method == method]
        print(f"{method:15}" + "".join(f"{value:7.1%}" for value in own))
    if options.picture:
        picture(points).save(options.picture)


if __name__ == "__main__":
    main()
