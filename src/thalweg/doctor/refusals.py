"""What is said of a script that cannot be diagnosed: one sentence that names what is in the way."""

from __future__ import annotations

from thalweg.trials import Outcome

NOTHING = "The script was not run."
UNHEARD = (
    "The script makes updates, and no loss that they come from could be seen: it takes its "
    "gradients from elsewhere, or trains in a thread of its own."
)


def is_the_scripts(outcome: Outcome) -> bool:
    """Whether a crash is the script's own, and not one of what was put around it."""
    return outcome.ended == "crashed" and outcome.exit_code not in (0, None)


def without_updates(outcome: Outcome) -> str:
    """Why nothing is known of a script that was not seen to update any parameter."""
    seen = "The script made no update of any parameter that could be seen"
    by_itself = outcome.ended == "finished" and outcome.reason == "the script came to its end"
    return f"{seen}." if by_itself else f"{seen} before it ended: {outcome.reason}."


def not_recorded(outcome: Outcome) -> str:
    """Why nothing is known of a script that does not let itself be recorded."""
    return f"The script could not be recorded to its end: {outcome.reason}."
