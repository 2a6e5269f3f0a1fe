"""What each regularization does for a network some of whose training labels are wrong.

python examples/training/regularization.py --picture regularization.svg
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from thalweg.training.regularization import (
    DropUnits,
    ElasticDistortion,
    GaussianNoise,
    MaxNorm,
    SoftThreshold,
    decay_groups,
    l1_penalty,
    l2_penalty,
    weights,
)

SEEDS = range(2, 5)  # strengths were chosen on other splits of the data


def data(seed):
    """Three hundred digits to learn from, every fifth with a label drawn anew, and all others."""
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    y = torch.tensor(digits.target)
    generator = torch.Generator().manual_seed(seed)
    train, held_out = torch.randperm(len(y), generator=generator).split([300, len(y) - 300])
    labels = y[train]
    labels[::5] = torch.randint(10, (60,), generator=generator)
    return (x[train], labels), (x[held_out], y[held_out])


def train(
    seed, *, first=(), between=(), penalty=None, decay=0.0, follow=None, smoothing=0.0, steps=200
):
    """Train with one regularization; held-out accuracy in % and the share of weights at zero."""
    (x, y), (held_out, truth) = data(seed)
    torch.manual_seed(seed)
    hidden = [nn.Flatten(), nn.Linear(64, 128), nn.ReLU()]
    model = nn.Sequential(*first, *hidden, *between, nn.Linear(128, 10))
    optimizer = torch.optim.AdamW(decay_groups(model, decay), lr=5e-3)
    if follow:
        follow(optimizer, model)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y, label_smoothing=smoothing)
        (loss + penalty(model) if penalty else loss).backward()
        optimizer.step()
    with torch.no_grad():
        right = model.eval()(held_out).argmax(1) == truth
    zeros = torch.cat([w.flatten() == 0 for w in weights(model)])
    return 100 * right.double().mean().item(), 100 * zeros.double().mean().item()


KINDS = {
    "none": {},
    "L1 penalty": {"penalty": l1_penalty(3e-3)},
    "L1, soft threshold": {"follow": lambda optimizer, model: SoftThreshold(optimizer, model, 0.5)},
    "L2 penalty": {"penalty": l2_penalty(1e-2)},
    "weight decay": {"decay": 4.0},
    "max-norm": {"follow": lambda optimizer, model: MaxNorm(optimizer, model, 1.0)},
    "dropout, p = 0.5": {"between": [nn.Dropout(0.5)]},
    "dropout, 64 of 128": {"between": [DropUnits(64)]},
    "noise on the inputs": {"first": [GaussianNoise(0.4)]},
    "stopped after 20 steps": {"steps": 20},
    "label smoothing": {"smoothing": 0.3},
    "elastic distortions": {"first": [ElasticDistortion(alpha=5.0, sigma=1.5)]},
}


def picture(rows):
    """Accuracy by kind: a small dot for each seed, a bar for the mean."""
    import altair as alt

    values = [{"kind": kind, "accuracy": a} for kind, found in rows.items() for a, _ in found]
    x = alt.X("accuracy:Q", title="held-out accuracy, %", scale=alt.Scale(zero=False))
    base = alt.Chart(alt.Data(values=values)).encode(y=alt.Y("kind:N", sort=[*rows], title=None))
    dots = base.mark_circle(size=50, color="#3b8fc4", opacity=0.7).encode(x=x)
    means = base.mark_tick(thickness=3, size=16, color="#d9702b").encode(x="mean(accuracy):Q")
    return (
        (dots + means)
        .properties(width=520, height=290)
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_axis(
            labelColor="#78838d",
            titleColor="#78838d",
            titleFontWeight="normal",
            gridColor="#9aa4ad",
            gridOpacity=0.35,
            domain=False,
            labelLimit=200,
        )
        .configure_axisY(minExtent=150)  # room for labels in a wider font
        .configure_view(stroke=None)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", metavar="FILE.svg", help="draw the table, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {kind: [train(seed, **how) for seed in SEEDS] for kind, how in KINDS.items()}
    print(f"{'regularization':<22}  {'held out':>8}  {'gain':>12}  {'at zero':>7}")
    plain = torch.tensor(rows["none"])[:, 0]
    for kind, found in rows.items():
        accuracy, zeros = torch.tensor(found).T
        gain = accuracy - plain
        error = f"{gain.mean():+5.1f} ± {gain.std() / len(SEEDS) ** 0.5:3.1f}"
        print(f"{kind:<22}  {accuracy.mean():6.1f} %  {error:>12}  {zeros.mean():5.1f} %")
    if options.picture:
        picture(rows).save(options.picture)


if __name__ == "__main__":
    main()
