"""What a mutant is: a mistake that somebody might make, and the tests that should see it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path("src/thalweg")


@dataclass(frozen=True)
class Mutant:
    """A text that stands once in a file, and the mistake that replaces it.

    Attributes:
        file: below `src/thalweg`.
        text: stands exactly once in the file.
        mistake: what stands in its place.
        what: the mistake in words.
        tests: paths or node identifiers, as pytest takes them, in the order they are run in.
    """

    file: str
    text: str
    mistake: str
    what: str
    tests: tuple[str, ...]

    def path(self, root: Path) -> Path:
        """The file under the root of a repository."""
        return root / PACKAGE / self.file

    def applied(self, source: str) -> str:
        """The source with the mistake in it."""
        return source.replace(self.text, self.mistake)


def of(file: str, tests: tuple[str, ...], *changes: tuple[str, str, str]) -> list[Mutant]:
    """Mutants of one file for the same tests: what stands there, the mistake, the same in words."""
    return [Mutant(file, text, mistake, what, tests) for text, mistake, what in changes]


def faults(mutant: Mutant, root: Path) -> Iterator[str]:
    """What is wrong with the description of a mutant: nothing, if it can be planted."""
    path = mutant.path(root)
    if not path.is_file():
        yield "there is no such file"
        return
    source = path.read_text(encoding="utf-8")
    if (count := source.count(mutant.text)) != 1:
        yield f"the text stands {count} times in the file: {mutant.text!r}"
    try:
        same = ast.dump(ast.parse(source)) == ast.dump(ast.parse(mutant.applied(source)))
    except SyntaxError as error:
        yield f"with the mistake the file cannot be parsed: {error}"
    else:
        if same:
            yield "the mistake changes nothing"
    yield from (f"there is no {test}" for test in mutant.tests if not exists(test, root))


def exists(test: str, root: Path) -> bool:
    """Whether there is such a file, and in it such a test; its parameters are not looked at."""
    file, _, name = test.partition("::")
    path, function = root / file, name.partition("[")[0]
    return path.is_file() and f"def {function}" in path.read_text(encoding="utf-8")
