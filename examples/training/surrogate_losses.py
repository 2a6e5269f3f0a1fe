"""Margins go on widening after the last error on the training set is gone.

python examples/training/surrogate_losses.py --picture surrogate-losses.svg
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

from thalweg.optim import SGD
from thalweg.training import fit
from thalweg.training.losses import margin_loss, margins, zero_one_loss

SURROGATES = ("logistic", "hinge", "exponential")
LOOKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # epochs after which to look


def data():
    """Threes and eights, of which 120 are learned from; 1 stands for an eight."""
    digits = load_digits()
    chosen = (digits.target == 3) | (digits.target == 8)
    x = torch.tensor(digits.data[chosen], dtype=torch.float64) / 16
    y = torch.tensor(digits.target[chosen] == 8).long()
    rows = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    return [(x[part], y[part]) for part in (rows[:120], rows[120:])]


def widening(name):
    """What a linear classifier has reached after each number of epochs."""
    train, held_out = data()
    model, found, before = nn.Linear(64, 1).double(), [], 0
    nn.init.normal_(model.weight, std=0.01, generator=torch.Generator().manual_seed(0))
    optimizer = SGD(model.parameters(), lr=0.1)
    for epochs in LOOKS:
        fit(model, margin_loss(name), train, None, optimizer, epochs=epochs - before,
            batch_size="all")  # fmt: skip
        before = epochs
        with torch.no_grad():
            distances = margins(model(train[0]), train[1]) / model.weight.norm()
            errors, missed = (int(zero_one_loss(model(x), y).sum()) for x, y in (train, held_out))
        low, middle = distances.quantile(torch.tensor([0.0, 0.5], dtype=torch.float64)).tolist()
        found.append(
            {"surrogate": name, "epochs": epochs, "errors": errors, "held out": missed,
             "smallest": low, "median": middle}
        )  # fmt: skip
    return found


def picture(rows):
    """The smallest distance from the boundary; full circles where no error is left."""
    import altair as alt

    points = [{**row, "clean": row["errors"] == 0} for row in rows]
    base = alt.Chart(alt.Data(values=points), width=620, height=260).encode(
        x=alt.X("epochs:Q", scale=alt.Scale(type="log"), axis=alt.Axis(values=list(LOOKS))),
        y=alt.Y("smallest:Q", title="smallest margin m/|w|"),
        color=alt.Color("surrogate:N", title=None, sort=None,
                        scale=alt.Scale(range=["#3b8fc4", "#d9702b", "#8a949d"])),
    )  # fmt: skip
    circles = base.mark_point(size=46, filled=True).transform_filter("datum.clean")
    rings = base.mark_point(size=46).transform_filter("!datum.clean")
    return (
        alt.layer(base.mark_line(strokeWidth=2), circles, rings)
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_axis(labelColor="#78838d", titleColor="#78838d", titleFontWeight="normal",
                        gridColor="#9aa4ad", gridOpacity=0.35, domain=False)
        .configure_legend(labelColor="#78838d", orient="top")
        .configure_view(stroke=None)
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", metavar="FILE.svg", help="draw the margins, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for name in SURROGATES for row in widening(name)]
    print("surrogate    epochs  errors in 120  held out in 237  smallest margin  median margin")
    for row in rows:
        if row["epochs"] in (1, 20, 100, 1000):
            print(
                f"{row['surrogate']:<11}  {row['epochs']:6}  {row['errors']:13}"
                f"  {row['held out']:15}  {row['smallest']:15.3f}  {row['median']:13.3f}"
            )
    if options.picture:
        picture(rows).save(options.picture)


if __name__ == "__main__":
    main()
