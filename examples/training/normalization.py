"""What normalizing inputs and hidden layers does to the curvature, and to training.

python examples/training/normalization.py --picture normalization.svg
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from thalweg.curvature import Hessian
from thalweg.training.normalization import InputNormalization, insert_normalization

INPUTS = ("as they are", "standardize", "zca")
HIDDEN = ("none", "layer", "batch")


def data():
    """The digits' pixels, from 0 to 16, and their labels; the first 300."""
    digits = load_digits()
    return torch.tensor(digits.data)[:300], torch.tensor(digits.target)[:300]


def net(hidden):
    """Five hidden layers of sigmoids."""
    torch.manual_seed(0)
    layers = [part for _ in range(4) for part in (nn.Linear(8, 8), nn.Sigmoid())]
    model = nn.Sequential(nn.Linear(64, 8), nn.Sigmoid(), *layers, nn.Linear(8, 10)).double()
    return model if hidden == "none" else insert_normalization(model, hidden)


def spread(model, x, y):
    """The loss's largest absolute eigenvalue over their median."""
    with Hessian.of_model(model, nn.CrossEntropyLoss(), (x, y)) as hessian:
        matrix = hessian.to_dense()
    values = torch.linalg.eigvalsh((matrix + matrix.T) / 2).abs()
    return (values.max() / values.median()).item()


def descent(model, x, y, rate, steps=300):
    """The loss along full-batch gradient descent."""
    optimizer, losses = torch.optim.SGD(model.parameters(), lr=rate), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def one_layer(kind):
    """A linear classifier on inputs of one kind, at nine tenths of its largest stable rate."""
    x, y = data()
    x = x if kind == "as they are" else InputNormalization(kind).fit(x)(x)
    torch.manual_seed(0)
    model = nn.Linear(64, 10).double()
    nn.init.zeros_(model.weight)
    with Hessian.of_model(model, nn.CrossEntropyLoss(), (x, y)) as hessian:
        largest = torch.linalg.eigvalsh(hessian.to_dense()).max().item()
    return 1.8 / largest, descent(model, x, y, 1.8 / largest)


def many_layers(kind):
    """A deep net with one kind of normalization."""
    x, y = data()
    x = InputNormalization().fit(x)(x)
    model = net(kind)
    return spread(model, x, y), descent(model, x, y, rate=0.2)


def picture(curves):
    """Both losses over steps."""
    import altair as alt

    def panel(rows, title, names):
        log = names == INPUTS
        scale = alt.Scale(type="log", domain=[2e-4, 4]) if log else alt.Scale(zero=True)
        axis = alt.Axis(values=[0.001, 0.01, 0.1, 1]) if log else alt.Axis(tickCount=5)
        colours = alt.Scale(domain=names, range=["#8a949d", "#3b8fc4", "#d9702b"])
        return (
            alt.Chart(alt.Data(values=rows), title=title)
            .mark_line(strokeWidth=2.5)
            .encode(
                x=alt.X("step:Q", axis=alt.Axis(tickCount=5, grid=False)),
                y=alt.Y("loss:Q", title="training loss", scale=scale, axis=axis),
                color=alt.Color("kind:N", title=None, scale=colours),
            )
            .properties(width=270, height=220)
        )

    titles = {"inputs": "one layer: inputs", "hidden": "six layers: hidden normalization"}
    names = {"inputs": INPUTS, "hidden": HIDDEN}
    panels = [panel(curves[of], titles[of], names[of]) for of in titles]
    text = {"labelColor": "#78838d", "titleColor": "#78838d", "titleFontWeight": "normal"}
    return (
        alt.hconcat(*panels)
        .resolve_scale(color="independent")
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_axis(**text, gridColor="#9aa4ad", gridOpacity=0.35, domain=False)
        .configure_title(color="#78838d", fontWeight="normal")
        .configure_legend(labelColor="#78838d", orient="top", symbolSize=400)
        .configure_view(stroke=None)
    )


def rows(kind, losses):
    """Data of a curve."""
    return [{"kind": kind, "step": at, "loss": loss} for at, loss in enumerate(losses)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", metavar="FILE.svg", help="draw the curves, too")
    picture_file = parser.parse_args().picture
    torch.set_num_threads(1)
    curves = {"inputs": [], "hidden": []}
    print("inputs         largest rate   loss after 300 steps")
    for kind in INPUTS:
        rate, losses = one_layer(kind)
        curves["inputs"] += rows(kind, losses)
        print(f"{kind:12} {rate / 0.9:14.4f} {losses[-1]:22.4f}")
    print("\nhidden layers  eigenvalues, largest / median   loss after 300 steps")
    for kind in HIDDEN:
        ratio, losses = many_layers(kind)
        curves["hidden"] += rows(kind, losses)
        print(f"{kind:14} {ratio:29.2g} {losses[-1]:22.3f}")
    if picture_file:
        picture(curves).save(picture_file)


if __name__ == "__main__":
    main()
