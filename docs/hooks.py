"""Fills `<!-- generated: KIND -->` in a page with what `thalweg explain` says of that kind."""

import re
from typing import Any

from thalweg.cli.catalogue import Topic, topics

PLACE = re.compile(r"<!-- generated: (\w+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its generated part; MkDocs calls this for every page."""
    return PLACE.sub(lambda match: "\n\n".join(map(section, topics(match[1]))), markdown)


def section(topic: Topic) -> str:
    """One topic under its name; its own headings move down by one level."""
    return f"## {topic.name}\n\n" + re.sub(r"^#", "##", topic.text, flags=re.MULTILINE)
