"""What a direction that learns nothing from its steps has in common with every other such."""

from collections.abc import Mapping
from typing import Any

from thalweg.minimize.contract import Place


class Memoryless:
    """A direction without a memory."""

    def moved(self, before: Place, after: Place) -> None:
        """Nothing is learned from a step."""

    def state_dict(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing is to be restored.

        Raises:
            ValueError: `state` holds something, so it is another direction's.
        """
        if state:
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: the state has {sorted(state)}; this "
                "direction keeps none. Load the state of the same direction."
            )
