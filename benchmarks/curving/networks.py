"""The models that products are taken of, with data for them and, for a small one, its training.

ResNet-20: He, Zhang, Ren & Sun (2016), section 4.2, with the shortcuts of option B. GPT: Radford et
al. (2019), two layers of width 128.
"""

import copy
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Problem:
    """A model with its loss and data, a list of batches."""

    title: str
    model: nn.Module
    loss: object
    data: list

    @property
    def parameters(self):
        return [p for p in self.model.parameters() if p.requires_grad]

    @property
    def size(self):
        return sum(p.numel() for p in self.parameters)

    def copied(self):
        """The same with a model of its own, which a library may change."""
        return Problem(self.title, copy.deepcopy(self.model), self.loss, self.data)


def mlp(widths, activation=nn.Tanh):
    layers = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


class Block(nn.Module):
    """Two convolutions with batch normalization, beside them a shortcut."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.shortcut = nn.Identity() if inputs == outputs else projection

    def forward(self, x):
        inner = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(inner)) + self.shortcut(x))


def resnet20():
    layers = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    inputs = 16
    for width in (16, 32, 64):
        for block in range(3):
            layers.append(Block(inputs, width, 2 if width > 16 and block == 0 else 1))
            inputs = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class Attention(nn.Module):
    """Causal self-attention by PyTorch's own function."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.entry, self.exit = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        parts = self.entry(x).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.exit(mixed.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.inner, self.outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        x = x + self.attention(self.first_norm(x))
        return x + self.outer(F.gelu(self.inner(self.second_norm(x))))


class GPT(nn.Module):
    def __init__(self, tokens=256, width=128, layers=2, heads=4, context=64):
        super().__init__()
        self.token, self.place = nn.Embedding(tokens, width), nn.Embedding(context, width)
        self.layers = nn.Sequential(*(Layer(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, tokens)

    def forward(self, words):
        places = torch.arange(words.shape[1], device=words.device)
        x = self.layers(self.token(words) + self.place(places))
        return self.head(self.norm(x)).flatten(0, 1)  # a row for each token


def classification(title, model, inputs, classes=10):
    targets = torch.randint(classes, (len(inputs),))
    return Problem(title, model, nn.CrossEntropyLoss(), [(inputs, targets)])


def timed_problems(quick):
    """The three models that costs are measured on; smaller copies of them in a quick run."""
    torch.manual_seed(0)
    if quick:
        perceptron, batch, side, (few, long) = (16, 8, 4), 16, 8, (2, 8)
    else:
        perceptron, batch, side, (few, long) = (784, 512, 512, 10), 256, 32, (16, 64)
    dense = mlp(perceptron, nn.ReLU)
    yield classification("MLP", dense, torch.randn(batch, perceptron[0]), perceptron[-1])
    images = torch.randn(2 if quick else 32, 3, side, side)
    yield classification("ResNet-20", resnet20().eval(), images)
    words, following = torch.randint(256, (2, few, long))
    yield Problem("GPT", GPT(), nn.CrossEntropyLoss(), [(words, following.flatten())])


STAGES = (0, 60, 300, 1000)  # steps of Adam after which the small net is looked at


WIDTHS, SAMPLES = (20, 22, 20, 22, 10), 256


@cache
def trained(steps):
    """A perceptron of n = 1,614 parameters in float64, some steps of Adam after its start.

    It learns the classes that another perceptron, drawn at random, gives to Gaussian inputs.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = mlp(WIDTHS).double()
        inputs = torch.randn(SAMPLES, WIDTHS[0], dtype=torch.float64)
        logits = mlp(WIDTHS).double()(inputs)
        targets = (logits - logits.mean(0)).argmax(1)  # without the mean one class would have most
    loss = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(inputs), targets).backward()
        optimizer.step()
    model.zero_grad()
    return Problem(f"after {steps} steps", model, loss, [(inputs, targets)])
