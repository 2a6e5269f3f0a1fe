"""The schema as Markdown tables, for `docs/report.md`.

    python -m thalweg.report.reference docs/report.md

writes them anew between the two marks in that file.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from thalweg.report.atomic import write_text
from thalweg.report.schema import schema

START: Final = "<!-- fields: written by thalweg.report.reference -->\n"
END: Final = "<!-- end of fields -->\n"
ORDER: Final = [
    "report",
    "script",
    "finding",
    "symptom",
    "evidence",
    "measurement",
    "remedy",
    "intervention",
    "verified",
    "control",
    "ruled_out",
    "suspicion",
    "watched",
    "suspected",
    "trouble",
    "tensor",
    "trial",
    "curve",
    "measure",
    "budget",
    "environment",
    "cause",
]

Schema = Mapping[str, Any]


def markdown() -> str:
    """A heading, a sentence and a table of fields for each kind of object in the schema."""
    kinds = schema()["$defs"]
    return "\n".join(part for name in ORDER for part in lines(name, kinds[name]))


def lines(name: str, kind: Schema) -> Iterator[str]:
    """The lines about one kind of object."""
    yield from (f"### {name}", "", kind["description"], "")
    if "properties" in kind:
        yield from ("| field | type | what it is |", "|---|---|---|")
        required = kind.get("required", ())
        for field, value in kind["properties"].items():
            optional = "" if field in required else " *(optional)*"
            yield f"| `{field}` | {type_of(value)} | {value['description']}{optional} |"
        yield ""


def type_of(value: Schema) -> str:
    """The type of a field in words, with links to the kinds that it holds."""
    if "anyOf" in value:
        return " or ".join(map(type_of, value["anyOf"]))
    if "$ref" in value:
        name = value["$ref"].removeprefix("#/$defs/")
        return f"[{name}](#{name})"
    if "const" in value or "enum" in value:
        choices = [value["const"]] if "const" in value else value["enum"]
        return ", ".join(f"`{choice}`" for choice in choices)
    names = [value["type"]] if isinstance(value["type"], str) else value["type"]
    items = f" of {type_of(value['items'])}" if names == ["array"] else ""
    return " or ".join(names) + items + bounds(value)


def bounds(value: Schema) -> str:
    """`, 0 to 1`, `, at least 0`, or nothing."""
    if "maximum" in value:
        return f", {value['minimum']} to {value['maximum']}"
    return f", at least {value['minimum']}" if "minimum" in value else ""


def renewed(text: str) -> str:
    """A document with the tables between its marks written anew.

    Raises:
        ValueError: A mark is missing.
    """
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"the document lacks the marks {START.strip()} and {END.strip()}")
    return f"{before}{START}\n{markdown()}\n{END}{after}"


def main(path: str) -> None:
    """Write the tables in the document at `path` anew."""
    write_text(path, renewed(Path(path).read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(sys.argv[1])
