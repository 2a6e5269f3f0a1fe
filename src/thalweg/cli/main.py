"""The entry of the command line: finds the command, runs it, and turns mistakes into one line.

Exit codes: 0, 1 and 3 are verdicts of `diagnose`, and 0 and 3 say of `curvature` and `prune`
whether all that was asked was answered; 2 is a mistake in the command or a script that fails by
itself; 70 is a defect of Thalweg, which an uncaught exception would report as 1 and so pass off as
a verdict; 130 is Ctrl-C.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib.util import find_spec

from thalweg import __version__
from thalweg.cli import curvature, diagnose, environment, explain, prune, run, watch
from thalweg.cli.command import Command, UsageError, hint, parsed

COMMANDS: tuple[Command, ...] = (
    diagnose.COMMAND,
    run.COMMAND,
    watch.COMMAND,
    curvature.COMMAND,
    prune.COMMAND,
    explain.COMMAND,
    environment.COMMAND,
)
BY_NAME = {command.name: command for command in COMMANDS}
USAGE, DEFECT, INTERRUPTED, BROKEN_PIPE = 2, 70, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: this process's own) and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return answer(words)
    except UsageError as error:
        return complain(f"{program(words)}: {error}", USAGE)
    except KeyboardInterrupt:
        return complain(f"{program(words)}: interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader is gone (as in `| head`); what Python still flushes at exit must not fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception:
        traceback.print_exc()
        return complain(
            f"{program(words)}: this is a defect of Thalweg: please report it with the lines above "
            "and those of `thalweg env`",
            DEFECT,
        )


def answer(words: list[str]) -> int:
    """Answer `--help` and `--version`, or run a command."""
    if not words:
        return complain(f"thalweg: no command was named\n\n{overview()}", USAGE)
    match words[0]:
        case "-h" | "--help":
            print(overview())
            return 0
        case "--version":
            print(f"thalweg {__version__}")
            return 0
    command = named(words[0])
    try:
        options = parsed(command, words[1:])
    except SystemExit as shown:  # argparse ends this way after --help
        return int(shown.code or 0)
    check_packages(command)
    return command.run(options)


def named(word: str) -> Command:
    """The command of this name."""
    if word not in BY_NAME:
        raise UsageError(f"{word} is no command{hint(word, BY_NAME)} See: thalweg --help")
    return BY_NAME[word]


def program(words: Sequence[str]) -> str:
    """What errors begin with: `thalweg` and the command, if one was named."""
    return f"thalweg {words[0]}" if words and words[0] in BY_NAME else "thalweg"


def check_packages(command: Command) -> None:
    """Refuse a command whose packages are missing, with how to get them."""
    missing = [module for module in command.needs if find_spec(module) is None]
    if missing:
        raise UsageError(f"this command needs {', '.join(missing)}: pip install 'thalweg[cli]'")


def overview() -> str:
    """What `thalweg --help` prints."""
    width = max(len(command.name) for command in COMMANDS)
    lines = "\n".join(f"  {command.name:{width}}  {command.summary}" for command in COMMANDS)
    return (
        "usage: thalweg COMMAND [options]\n\n"
        "Find what holds a PyTorch training script back, prove it, and mend it.\n\n"
        f"commands:\n{lines}\n\n"
        "options:\n"
        "  -h, --help  show this, or after a command what it does and its options\n"
        "  --version   show the version\n\n"
        "example:\n  thalweg diagnose train.py\n\n"
        'in Python:\n  thalweg.diagnose("train.py")'
    )


def complain(message: str, exit_code: int) -> int:
    """Print `message` on standard error and pass the exit code on."""
    print(message, file=sys.stderr)
    return exit_code
