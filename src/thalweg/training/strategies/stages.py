"""Training in stages: layers added one by one, or freed one by one.

    for model in greedy_stages(layers, head=lambda k: nn.Linear(widths[k], classes)):
        train(model)

Greedy supervised pretraining trains each layer with an output layer of its own on the task itself,
on top of those before it, which stay as they are. The output layers are thrown away; all layers
together are then trained on from there.

    for parts in unfreezing_stages([features, middle, head]):
        train(model)

Gradual unfreezing goes the other way, from the last part to the first: it fits a new output layer
to features that were learned elsewhere before its large first gradients can spoil them.

Reference: Bengio, Lamblin, Popovici & Larochelle (2007), *Greedy layer-wise training of deep
networks*, appendix, for the supervised form; Howard & Ruder (2018), arXiv 1801.06146, section 3.3,
for unfreezing.
"""

from collections.abc import Callable, Iterator, Sequence

from torch import nn

from thalweg.training.strategies.freezing import frozen


def greedy_stages(
    layers: Sequence[nn.Module], head: Callable[[int], nn.Module]
) -> Iterator[nn.Sequential]:
    """For each layer a model to train: those before it, frozen; the layer; an output layer.

    Args:
        layers: what the finished model consists of, in order, without its output layer. Each is
            trained when its turn comes, and frozen while the later ones are.
        head: makes the output layer that stands on top of `layers[k]`.

    Yields:
        The model of each stage. Train it before asking for the next.
    """
    for k, layer in enumerate(layers):
        with frozen(*layers[:k]):
            yield nn.Sequential(*layers[:k], layer, head(k))


def unfreezing_stages(parts: Sequence[nn.Module]) -> Iterator[list[nn.Module]]:
    """First only the last part trains, then the last two, and so on up to all.

    Args:
        parts: of a model, from its input to its output.

    Yields:
        The parts that train at each stage; the others are frozen until the next is asked for.
    """
    for k in reversed(range(len(parts))):
        with frozen(*parts[:k]):
            yield [*parts[k:]]
