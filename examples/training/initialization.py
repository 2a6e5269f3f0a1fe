"""Signals and gradients through fifty layers, by how the weights were drawn.

python examples/training/initialization.py --picture initialization.svg
"""

import argparse
import itertools

import torch
from sklearn.datasets import load_digits
from torch import nn

from thalweg.training.initialization import LSUV, initialize
from thalweg.training.normalization import InputNormalization

DEPTH, WIDTH = 50, 128
CASES = [
    ("ReLU, he", nn.ReLU, "he"),
    ("ReLU, lecun", nn.ReLU, "lecun"),
    ("ReLU, PyTorch", nn.ReLU, None),
    ("SELU, lecun", nn.SELU, "lecun"),
    ("tanh, glorot", nn.Tanh, "glorot"),
    ("tanh, PyTorch", nn.Tanh, None),
    ("tanh, LSUV", nn.Tanh, "lsuv"),
]


def data():
    """Two hundred digits, standardized."""
    x = torch.tensor(load_digits().data[:200], dtype=torch.float32)
    return InputNormalization().fit(x)(x)


def net(activation, kind, x):
    """Fifty layers, initialized."""
    torch.manual_seed(0)
    widths = [x.shape[1]] + DEPTH * [WIDTH]
    pairs = itertools.pairwise(widths)
    model = nn.Sequential(*(part for pair in pairs for part in (nn.Linear(*pair), activation())))
    if kind is None:
        return model
    return initialize(model, LSUV(x) if kind == "lsuv" else kind)


def moments(model, x):
    """The mean square of each layer's sums, and of a random gradient that comes back to them."""
    sums = []
    for layer in model:
        x = layer(x)
        if isinstance(layer, nn.Linear):
            x.retain_grad()
            sums.append(x)
    x.backward(torch.randn_like(x))
    return [[one.square().mean().item() for one in of] for of in (sums, [s.grad for s in sums])]


def picture(rows):
    """The second moments of signals and gradients over layers."""
    import altair as alt

    palette = ["#d9702b", "#e9a87c", "#8a949d", "#7a5fb0", "#3b8fc4", "#1f4e79", "#2e9e6b"]
    colours = alt.Scale(domain=[name for name, *_ in CASES], range=palette)
    axis = alt.Axis(format="~e", tickCount=6)
    base = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=2.5, clip=True)
        .encode(
            x=alt.X("layer:Q", axis=alt.Axis(tickCount=5, grid=False)),
            color=alt.Color("case:N", title=None, scale=colours),
        )
    )
    scale = alt.Scale(type="log", domain=[1e-12, 1e4], nice=False)
    panels = [
        base.encode(y=alt.Y(f"{of}:Q", title=title, scale=scale, axis=axis)).properties(
            width=270, height=240
        )
        for of, title in (("signal", "mean square of signals"), ("gradient", "and of gradients"))
    ]
    text = {"labelColor": "#78838d", "titleColor": "#78838d", "titleFontWeight": "normal"}
    return (
        alt.hconcat(*panels)
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_axis(**text, gridColor="#9aa4ad", gridOpacity=0.35, domain=False)
        .configure_legend(labelColor="#78838d", orient="top", columns=4, symbolSize=400)
        .configure_view(stroke=None)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", metavar="FILE.svg", help="draw the curves, too")
    picture_file = parser.parse_args().picture
    torch.set_num_threads(1)
    x, rows = data(), []
    print("mean squares    signal, layer 1   layer 50   gradient, layer 50   layer 1")
    for name, activation, kind in CASES:
        signal, gradient = moments(net(activation, kind, x), x)
        print(
            f"{name:14} {signal[0]:16.2g} {signal[-1]:10.2g} {gradient[-1]:20.2g} "
            f"{gradient[0]:9.2g}"
        )
        rows += [
            {"case": name, "layer": at + 1, "signal": signal[at], "gradient": gradient[at]}
            for at in range(DEPTH)
        ]
    if picture_file:
        picture(rows).save(picture_file)


if __name__ == "__main__":
    main()
