"""What an intervention is: one thing changed in a running program from outside.

An intervention listens to the session and answers where it changes something. It is described by
plain data, so that a report can carry it and ``thalweg run --apply`` can use it. It changes the
program's numbers, never its source, and touches nothing once the session has ended.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

from thalweg.recorder.session import Listener


class InterventionError(ValueError):
    """An intervention was described in a way that it cannot be made of."""


@dataclass
class Intervention(Listener):
    """Base of all interventions. The fields of a subclass are its description.

    Attributes:
        kind: The name under which its description travels.
        changes_loss: Whether the training loss under it is another quantity than the script's own,
            so that the two cannot be compared.
    """

    kind: ClassVar[str]
    changes_loss: ClassVar[bool] = False

    def as_data(self) -> dict[str, Any]:
        """Plain data; ``from_data`` makes the intervention of it again."""
        return {"kind": self.kind} | {k: v for k, v in asdict(self).items() if v is not None}

    @classmethod
    def make(cls, data: dict[str, Any]) -> Self:
        """The intervention that the data describes, its ``kind`` left out.

        Raises:
            InterventionError: If a field is unknown or missing.
        """
        known = {one.name for one in fields(cls) if one.init}
        unknown = sorted(set(data) - known)
        if unknown:
            raise InterventionError(
                f"{cls.kind}: no such setting {unknown[0]!r}; "
                f"it has {', '.join(sorted(known)) or 'none'}"
            )
        try:
            return cls(**data)
        except TypeError as error:
            raise InterventionError(f"{cls.kind}: {error}") from None

    def name(self) -> str:
        """A few words for a table."""
        return self.kind

    def says(self) -> str:
        """One sentence that tells a person what to change."""
        raise NotImplementedError

    def edit(self) -> str:
        """A line of code that a person would write for it; empty where there is none."""
        return ""

    def told(self) -> str:
        """What became of it in a run that has ended, in a line; empty if that is no news."""
        return ""
