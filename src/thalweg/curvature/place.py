"""Where the answers are asked for: a model with a loss and data, or a Hessian that stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from thalweg.operators import Hessian, ParameterOperator


@contextmanager
def curvature_at(
    call: str,
    model: nn.Module | ParameterOperator,
    loss: Callable[[Any, Any], Tensor] | None,
    data: Any,
    options: Mapping[str, Any],
) -> Iterator[ParameterOperator]:
    """The Hessian there; closed at the end if it was made here.

    Args:
        call: what to call the function in messages.
        model: a model, or an operator that stands already and stays open.
        loss: of the model; None with an operator.
        data: of the model; None with an operator.
        options: for `Hessian.of_model`.

    Raises:
        TypeError: neither a model with loss and data nor an operator alone.
    """
    if isinstance(model, ParameterOperator):
        if loss is not None or data is not None or options:
            raise TypeError(f"{call}({model.name}, ...): an operator has its loss and data.")
        yield model
    elif isinstance(model, nn.Module) and loss is not None and data is not None:
        with Hessian.of_model(model, loss, data, **options) as hessian:
            yield hessian
    else:
        raise TypeError(
            f"{call}({type(model).__name__}, ...): give (model, loss, data), or a Hessian such as "
            "Hessian(loss_of_params, params)."
        )
