"""The docstring of a rule by its headings: `Idea: ...`, `Formula: ...` and so on."""

import re
from dataclasses import dataclass

HEADINGS = ("Idea", "Formula", "Why", "When", "Convention", "Sharding", "Cost", "Reference")
HEADING = re.compile(rf"\n\n+({'|'.join(HEADINGS)})(, [^:\n]*)?:(?=[ \n])")
LONG = 150
SYMBOL = re.compile(r"\w+ (=|<-)|[b-z] ")  # a formula's letter is no first word
YEAR = re.compile(r"\b((?:19|20)\d\d)\b")


@dataclass(frozen=True)
class Explanation:
    """A rule's docstring, taken apart.

    Attributes:
        title: What it is called: the first line up to its colon.
        summary: The rest of the first line.
        preface: Paragraphs before the first heading.
        sections: Text by heading.
    """

    title: str
    summary: str
    preface: str
    sections: dict[str, str]

    @property
    def year(self) -> str:
        """The year of the first reference, or a dash."""
        found = YEAR.search(self.sections.get("Reference", ""))
        return found[1] if found else "–"

    @property
    def advice(self) -> str:
        """The first sentence of `When`, or what stands before its semicolon if that is long."""
        text = " ".join(self.sections.get("When", "–").split())
        first = re.split(r"(?<=\.) ", text, maxsplit=1)[0].rstrip(".")
        return first if len(first) <= LONG else first.partition(";")[0]


def explanation(doc: str) -> Explanation:
    """Take a docstring apart; of a heading that occurs twice the later text follows the first."""
    first, _, rest = doc.partition("\n")
    title, _, summary = first.partition(": ")
    preface, *parts = HEADING.split(f"\n{rest}")
    sections: dict[str, str] = {}
    for heading, more, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        text = f"{more[2:]}:{text}" if more else text.lstrip(" ").lstrip("\n")
        before = sections.get(heading)
        sections[heading] = "\n\n".join(filter(None, (before, sentence(text.rstrip()))))
    return Explanation(title.rstrip("."), sentence(summary), preface.strip(), sections)


def sentence(text: str) -> str:
    """A text that begins with a capital letter, as one under a heading does; letters stay."""
    return text if SYMBOL.match(text) else text[:1].upper() + text[1:]
