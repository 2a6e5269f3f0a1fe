"""What a command of the command line is, and how its options are read.

The script to run is the last thing that Thalweg reads: whatever follows it belongs to the script,
even if it looks like an option of ours.
"""

import argparse
import difflib
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol


class Failure(Protocol):
    """How a script failed."""

    stdout: str
    stderr: str
    exit_code: int
    hint: str


class UsageError(Exception):
    """The command cannot be carried out as it was written; the message is one line for a person."""


@dataclass(frozen=True)
class Command:
    """One command: what `--help` says about it, its options, and what it does.

    Attributes:
        name: The word after `thalweg`.
        summary: One line for the list of commands.
        usage: What follows the name, as in `[options] SCRIPT [ARGS ...]`.
        description: What it does, in a paragraph.
        example: A command line that works, without its prompt.
        python: The same in Python.
        configure: Adds the options to a parser.
        run: Carries it out and returns the exit code.
        needs: Third-party modules without which it cannot run.
    """

    name: str
    summary: str
    usage: str
    description: str
    example: str
    python: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    needs: tuple[str, ...] = ()

    def parser(self) -> argparse.ArgumentParser:
        """The parser of this command's options."""
        parser = Parser(
            prog=f"thalweg {self.name}",
            usage=f"thalweg {self.name} {self.usage}".rstrip(),
            description=self.description,
            epilog=f"example:\n{indented(self.example)}\n\nin Python:\n{indented(self.python)}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.configure(parser)
        return parser


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, raised instead of printed."""

    def error(self, message: str) -> NoReturn:
        """Raise `message` as a `UsageError`; argparse calls this for every mistake it finds."""
        end = "" if message.endswith(("?", ".")) else "."
        raise UsageError(f"{message}{end} See: {self.prog} --help")


def indented(text: str) -> str:
    """`text` moved right by two columns."""
    return "\n".join(f"  {line}" for line in text.splitlines())


def parsed(command: Command, words: Sequence[str]) -> argparse.Namespace:
    """The options of `command` in `words`.

    Raises:
        UsageError: An option is unknown, lacks its value, or has one that cannot be.
    """
    parser = command.parser()
    options, unknown = parser.parse_known_args(words)
    if unknown:
        known = [name for action in parser._actions for name in action.option_strings]
        word = unknown[0].partition("=")[0]
        parser.error(f"unrecognized argument {word}{hint(word, known)}")
    return options


def hint(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about `word`: `; did you mean X?` if X is near, else a full stop."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else "."


def add_script(parser: argparse.ArgumentParser) -> None:
    """Let the command take a script and the script's own arguments, as they are."""
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        metavar="SCRIPT [ARGS ...]",
        help="the training script, unedited, and its own arguments",
    )


def script_of(parsed_options: argparse.Namespace) -> tuple[Path, list[str]]:
    """The script that was named, and the arguments meant for it.

    Raises:
        UsageError: No script was named, or there is no such file.
    """
    words = list(parsed_options.command)
    if words[:1] == ["--"]:
        del words[0]
    if not words:
        raise UsageError("no script was named: write it after the options, as in: train.py")
    script = Path(words[0])
    if script.is_dir():
        raise UsageError(f"{script} is a folder: name the script in it, as in {script}/train.py")
    if not script.exists():
        neighbours = [str(path) for path in script.parent.glob("*.py")]
        raise UsageError(f"{script}: no such file{hint(str(script), neighbours)}")
    return script, words[1:]


def tell_failure(script: Path, failure: Failure, so: str) -> None:
    """Show what a script that fails by itself said, and what follows from that.

    Args:
        script: As it was named.
        failure: What it printed, its exit code, and what to do about it if that is known.
        so: The end of the sentence, such as ", so there is nothing to diagnose yet".
    """
    sys.stderr.write(failure.stdout + failure.stderr)
    why = f": {failure.hint}" if failure.hint else ""
    told = f"thalweg: {script} fails by itself (exit code {failure.exit_code}){so}{why}"
    print(told, file=sys.stderr)
