"""Another initialization: weights are drawn anew so that signals keep their variance.

What it changes: before the first update, each weight is redrawn when its layer is first called,
from a random stream of our own, so that the script's own stream of batches stays what it was.
Biases that stand in the same call become zero. Schemes: ``he`` (He et al., 2015: deviation sqrt(2 /
fan in)), ``glorot`` (Glorot & Bengio, 2010: sqrt(2 / (fan in + fan out))), ``lecun`` (LeCun et al.,
1998: sqrt(1 / fan in)), ``torch`` (PyTorch's own: uniform in +-1 / sqrt(fan in), biases too),
``orthogonal`` (Saxe et al., 2014). Recurrent matrices are always orthogonal. Tables of embeddings
stay what they are, except by ``unit-rows``, which draws them and nothing else: normal, of deviation
1 / sqrt(columns), so that a row has a length of about one and two rows a product of about zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from thalweg.interventions.intervention import Intervention, InterventionError
from thalweg.recorder.anatomy import LAYERS, RECURRENT, plain
from thalweg.recorder.entrances import AFTER_BIAS, PRODUCTS
from thalweg.recorder.session import Call, Session
from thalweg.training.initialization.gain import KNOWN
from thalweg.training.initialization.orthogonal import orthogonal
from thalweg.training.initialization.variance import variance

SCHEMES = ("he", "glorot", "lecun", "torch", "orthogonal", "unit-rows")


@dataclass
class Initialization(Intervention):
    """Draw the weights anew.

    Attributes:
        scheme: How.
        recurrent_only: Leave everything but the matrices of fused recurrent layers alone.
        only: Draw no more than the matrices at these places, in the order in which layers first use
            them; None for all.
    """

    kind: ClassVar[str] = "initialization"
    scheme: str = "he"
    recurrent_only: bool = False
    only: list[int] | None = None
    _seen: dict[int, torch.Tensor] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise InterventionError(
                f"initialization: scheme={self.scheme!r}: choose one of {', '.join(SCHEMES)}"
            )
        self._random = torch.Generator().manual_seed(20_260)

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        data: dict[str, Any] = {"kind": self.kind, "scheme": self.scheme}
        data |= {"recurrent_only": True} if self.recurrent_only else {}
        return data | ({} if self.only is None else {"only": self.only})

    def started(self, session: Session) -> None:
        """Remember whose steps to count."""
        self._session = session

    def rewrite(self, call: Call) -> None:
        """Redraw the weights of a layer that is called for the first time."""
        name = plain(call.name)
        tables = name.startswith("embedding")
        if self._session.step or name not in LAYERS or tables != (self.scheme == "unit-rows"):
            return
        leaves = [one for one in _flat(call.args) if one.requires_grad and one.is_leaf]
        new = [one for one in leaves if id(one) not in self._seen]
        for one in new:
            transposed = name in PRODUCTS | AFTER_BIAS and one is not call.args[0]
            self._seen[id(one)] = one
            place = sum(seen.dim() >= 2 for seen in self._seen.values()) - 1
            if self.only is not None and (one.dim() < 2 or place not in self.only):
                continue
            recurrent = name in RECURRENT and one.dim() == 2 and one.shape[0] % one.shape[1] == 0
            if not self.recurrent_only or (recurrent and _is_recurrent(one, new)):
                self._draw(one, transposed, recurrent and _is_recurrent(one, new), _fan_in(new))

    def _draw(self, weight: torch.Tensor, transposed: bool, recurrent: bool, beside: float) -> None:
        """Draw one weight; ``beside`` is the fan in of the matrix that a bias stands beside."""
        with torch.no_grad():
            if self.scheme == "torch" and not recurrent and weight.numel():
                own = beside if weight.dim() < 2 else weight.numel() / _outputs(weight, transposed)
                noise = torch.rand(weight.shape, generator=self._random, dtype=torch.float64)
                weight.copy_((2 * noise - 1) / math.sqrt(max(own, 1.0)))
            elif weight.dim() < 2 or min(weight.shape) == 0:
                weight.zero_()
            elif recurrent:
                weight.copy_(self._gates(weight))
            elif self.scheme == "unit-rows":
                noise = torch.randn(weight.shape, generator=self._random, dtype=torch.float64)
                weight.copy_(noise / math.sqrt(weight.shape[-1]))
            elif self.scheme == "orthogonal":
                rows = weight.shape[0]
                drawn = orthogonal(rows, weight.numel() // rows, self._random)
                weight.copy_(drawn.reshape(weight.shape))
            else:
                noise = torch.randn(weight.shape, generator=self._random, dtype=torch.float64)
                weight.copy_(noise * self._deviation(weight, transposed))

    def _deviation(self, weight: torch.Tensor, transposed: bool) -> float:
        fan_out = _outputs(weight, transposed)
        fan_in = weight.numel() / fan_out
        field_size = math.prod(weight.shape[2:]) if weight.dim() > 2 else 1
        squared_gain = KNOWN["relu" if self.scheme == "he" else "linear"]
        return math.sqrt(variance(self.scheme, fan_in, fan_out * field_size, squared_gain))

    def _gates(self, weight: torch.Tensor) -> torch.Tensor:
        """Gates are stacked: one orthogonal block for each."""
        rows, columns = weight.shape
        blocks = [orthogonal(columns, columns, self._random) for _ in range(rows // columns)]
        return torch.cat(blocks)

    def name(self) -> str:
        """A few words for a table."""
        if self.scheme == "unit-rows":
            return "embeddings of length one"
        return (
            "orthogonal recurrent weights"
            if self.recurrent_only or self.only is not None
            else f"{self.scheme} initialization"
        )

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        if self.recurrent_only or self.only is not None:
            return "Initialize the recurrent weights as orthogonal matrices."
        if self.scheme == "torch":
            return "Leave the weights at PyTorch's own initialization."
        if self.scheme == "unit-rows":
            return "Initialize the embeddings with a deviation of 1 / sqrt(their size)."
        names = {"he": "He's", "glorot": "Glorot's", "lecun": "LeCun's"}
        scheme = names.get(self.scheme, "the orthogonal")
        return f"Initialize the weights by {scheme} scheme and the biases at zero."

    def edit(self) -> str:
        """A line of code."""
        if self.recurrent_only:
            return "nn.init.orthogonal_(rnn.weight_hh_l0)"
        return {
            "he": "nn.init.kaiming_normal_(layer.weight); nn.init.zeros_(layer.bias)",
            "glorot": "nn.init.xavier_normal_(layer.weight); nn.init.zeros_(layer.bias)",
            "lecun": "nn.init.kaiming_normal_(layer.weight, nonlinearity='linear')",
            "torch": "layer.reset_parameters()",
            "orthogonal": "nn.init.orthogonal_(layer.weight)",
            "unit-rows": "nn.init.normal_(table.weight, std=table.embedding_dim**-0.5)",
        }[self.scheme]


def _outputs(weight: torch.Tensor, transposed: bool) -> int:
    return weight.shape[-1] if transposed else weight.shape[0]


def _fan_in(together: list[torch.Tensor]) -> float:
    matrix = next((one for one in together if one.dim() >= 2), None)
    return 1.0 if matrix is None else matrix.numel() / matrix.shape[0]


def _flat(part: Any) -> list[torch.Tensor]:
    if isinstance(part, torch.Tensor):
        return [part]
    if isinstance(part, tuple | list):
        return [one for item in part for one in _flat(item)]
    return []


def _is_recurrent(weight: torch.Tensor, together: list[torch.Tensor]) -> bool:
    """In a fused recurrent call the second matrix of each pair maps states to states."""
    matrices = [one for one in together if one.dim() == 2]
    return any(one is weight for one in matrices[1::2])
