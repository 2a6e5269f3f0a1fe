"""The shapes of four models' parameters, from the architectures' definitions.

ResNet-50: He, Zhang, Ren & Sun (2016), table 1, with batch normalization after each convolution
and the projection shortcuts of option B. GPT-2 small: Radford et al. (2019), 12 layers of width
768 with the output tied to the token embedding. The other two are small: there a step costs what
the calls cost.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Architecture:
    name: str
    title: str
    shapes: tuple[Shape, ...]
    large: bool  # so large that a step costs what moving the memory costs

    @property
    def elements(self):
        return sum(map(prod, self.shapes))

    def matrices(self):
        """The same without what is not a matrix, for rules that take nothing else."""
        return replace(self, shapes=tuple(shape for shape in self.shapes if len(shape) == 2))


def convolution(inputs: int, outputs: int, kernel: int) -> Iterator[Shape]:
    """A convolution without bias, and the batch normalization after it."""
    yield from [(outputs, inputs, kernel, kernel), (outputs,), (outputs,)]


def bottleneck(inputs: int, width: int, project: bool) -> Iterator[Shape]:
    yield from convolution(inputs, width, 1)
    yield from convolution(width, width, 3)
    yield from convolution(width, 4 * width, 1)
    if project:
        yield from convolution(inputs, 4 * width, 1)


def resnet50() -> Iterator[Shape]:
    yield from convolution(3, 64, 7)
    inputs = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            yield from bottleneck(inputs, width, project=block == 0)
            inputs = 4 * width
    yield from linear(inputs, 1000)


def linear(inputs: int, outputs: int) -> Iterator[Shape]:
    yield from [(outputs, inputs), (outputs,)]


def gpt2(layers: int = 12, width: int = 768, tokens: int = 50_257, context: int = 1024):
    norm = [(width,), (width,)]
    yield from [(tokens, width), (context, width)]
    for _ in range(layers):
        yield from norm
        yield from linear(width, 3 * width)  # queries, keys and values
        yield from linear(width, width)
        yield from norm
        yield from linear(width, 4 * width)
        yield from linear(4 * width, width)
    yield from norm


def mlp() -> Iterator[Shape]:
    """For 8 x 8 digits."""
    for inputs, outputs in ((64, 64), (64, 64), (64, 10)):
        yield from linear(inputs, outputs)


ARCHITECTURES = {
    "resnet50": Architecture("resnet50", "ResNet-50", tuple(resnet50()), True),
    "gpt2": Architecture("gpt2", "GPT-2 small", tuple(gpt2()), True),
    "mlp": Architecture("mlp", "MLP of six small tensors", tuple(mlp()), False),
    "many": Architecture("many", "400 tensors of 64", ((64,),) * 400, False),
}
