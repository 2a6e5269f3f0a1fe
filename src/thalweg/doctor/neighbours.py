"""Trials that crash because another one runs beside them: the same port, the same lock.

Trials have files and temporary folders of their own, and share what is the system's: ports, sockets
with a name, locks on a file that is only read. A trial that fails at one of those, where the script
as it is did not, is run again with nobody beside it.
"""

from __future__ import annotations

import builtins
import re

from thalweg.trials import Outcome

# What libraries say in errors of their own kinds.
_WORDS = re.compile(r"already in use|already exists|is locked|temporarily unavailable", re.I)


def disturbed(outcome: Outcome) -> bool:
    """Whether this trial may have crashed for want of something that another one held."""
    if outcome.ended != "crashed":
        return False
    kind = getattr(builtins, outcome.reason.partition(":")[0], None)
    by_system = isinstance(kind, type) and issubclass(kind, OSError)
    return by_system or bool(_WORDS.search(outcome.reason))
