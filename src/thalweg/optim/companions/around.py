"""An optimizer that stands in front of another one and is an optimizer itself.

Groups, state and `state_dict` are the inner optimizer's, so that schedulers, scalers and
checkpoints work as if it stood there alone; so are the hooks on saving and loading. Hooks on the
step are each optimizer's own, and PyTorch's global ones hear of both steps.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch.optim import Optimizer

HOOKS = tuple(
    f"_optimizer_{call}_{when}_hooks"
    for call in ("state_dict", "load_state_dict")
    for when in ("pre", "post")
)


class Around(Optimizer):
    """Passes everything on to an inner optimizer; a subclass has a step of its own.

    Args:
        optimizer: ours, PyTorch's, or anyone's.

    Raises:
        TypeError: it is no `torch.optim.Optimizer`.
    """

    optimizer: Optimizer
    own: ClassVar[tuple[str, ...]] = ()  # attributes that copying and pickling keep

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__}({type(optimizer).__name__}, ...): the first argument must "
                "be a torch.optim.Optimizer."
            )
        # What Optimizer.__init__ does besides, without making groups anew.
        self.__setstate__({"optimizer": optimizer, "defaults": optimizer.defaults})

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The inner optimizer's."""
        return self.optimizer.param_groups

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:
        self.optimizer.param_groups = groups

    @property
    def state(self) -> Any:
        """The inner optimizer's."""
        return self.optimizer.state

    @state.setter
    def state(self, state: Any) -> None:
        self.optimizer.state = state

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the inner optimizer."""
        self.optimizer.add_param_group(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients."""
        self.optimizer.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The inner optimizer's."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the inner optimizer's."""
        self.optimizer.load_state_dict(state_dict)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for name in HOOKS:
            setattr(self, name, getattr(self.optimizer, name))

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("optimizer", "defaults", *self.own)}
