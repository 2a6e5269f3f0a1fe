"""The contract from the command line: `python -m thalweg.testing torch.optim.Adam lr=0.1`.

Exit codes: 0 if every law is kept, 1 if one is broken, 2 if the call is wrong.
"""

from __future__ import annotations

import argparse
import ast
import pkgutil
import sys
import textwrap
from typing import Any

from thalweg.testing import LAWS, check_optimizer
from thalweg.testing.report import WIDTH


def main(words: list[str] | None = None) -> int:
    """Check the optimizer that is named, and print the report."""
    parser = _parser()
    arguments = parser.parse_args(words)
    if arguments.laws:
        print(_contract())
        return 0
    if arguments.optimizer is None:
        parser.error("name an optimizer, such as torch.optim.Adam, or ask for --laws")
    try:
        made = pkgutil.resolve_name(arguments.optimizer)
        settings = dict(map(_setting, arguments.settings))
        report = check_optimizer(made, strict=False, **settings)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        parser.error(str(error))
    print(report)
    return 1 if report.broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m thalweg.testing",
        description="Hold an optimizer to what training loops expect of one.",
    )
    parser.add_argument("optimizer", nargs="?", help="its full name: package.module.Class")
    parser.add_argument("settings", nargs="*", help="what it is built with: lr=0.1")
    parser.add_argument("--laws", action="store_true", help="list the laws and what they demand")
    return parser


def _setting(word: str) -> tuple[str, Any]:
    """`lr=0.1` as a name and a value; what is no Python literal is text."""
    name, equals, text = word.partition("=")
    if not equals:
        raise ValueError(f"{word}: write a setting as name=value, such as lr=0.1")
    try:
        return name, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return name, text


def _contract() -> str:
    """Every law with its demand."""
    width = max(map(len, LAWS))
    indent = " " * (width + 2)
    return "\n".join(
        textwrap.fill(f"{law.name:<{width}}  {law.demand}", WIDTH, subsequent_indent=indent)
        for law in LAWS.values()
    )


if __name__ == "__main__":
    sys.exit(main())
