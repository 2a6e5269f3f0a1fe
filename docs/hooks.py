"""What MkDocs calls when it builds the documentation: pages made from docstrings and from rules.

`<!-- generated: KIND -->` in a page is filled with what `thalweg explain` says of that kind, or,
for `optimizers` and `wrappers`, with what the rules and wrappers say of themselves; every optimizer
has a page of its own, with a picture.
"""

import re
from functools import cache
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from optimizer_pages import families
from optimizer_pages.gallery import Gallery
from optimizer_pages.overview import overview
from optimizer_pages.page import page
from optimizer_pages.subjects import Subject, subjects
from optimizer_pages.wrappers import wrapper_sections

from thalweg.cli.catalogue import Topic, topics

PLACE = re.compile(r"<!-- generated: (\w+) -->")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the generated pages into the navigation, under the overview and in its order."""
    ordered = sorted(subjects().values(), key=lambda each: families.place(each.name))
    entries = [{each.title: f"optimizers/{each.name}.md"} for each in ordered]
    config.nav = with_pages(config.nav, ["optimizers.md", *entries, {"Wrappers": "wrappers.md"}])
    return config


def with_pages(item: Any, pages: list[Any]) -> Any:
    """An entry of the navigation, with `Optimizers: optimizers.md` grown into a section."""
    if isinstance(item, list):
        return [with_pages(each, pages) for each in item]
    if isinstance(item, dict):
        return {
            name: pages if entry == "optimizers.md" else with_pages(entry, pages)
            for name, entry in item.items()
        }
    return item


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the optimizers and their pictures."""
    gallery = Gallery()
    for subject in subjects().values():
        for name, content in made(subject, gallery).items():
            files.append(File.generated(config, f"optimizers/{name}", content=content))
    return files


def made(subject: Subject, gallery: Gallery) -> dict[str, str]:
    """The files of one optimizer."""
    text = page(subject, gallery.paths(subject.name), gallery.terrains)
    return {f"{subject.name}.md": text, f"{subject.name}.svg": gallery.picture(subject.name)}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its generated part; MkDocs calls this for every page."""
    return PLACE.sub(lambda match: generated(match[1]), markdown)


@cache
def generated(kind: str) -> str:
    """What takes the place of a mark."""
    if kind == "optimizers":
        return overview(subjects())
    if kind == "wrappers":
        return wrapper_sections()
    return "\n\n".join(map(section, topics(kind)))


def section(topic: Topic) -> str:
    """One topic under its name; its own headings move down by one level."""
    return f"## {topic.name}\n\n" + re.sub(r"^#", "##", topic.text, flags=re.MULTILINE)
