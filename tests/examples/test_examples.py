"""Every example of a subject has a page that shows what it prints, and the picture it draws.

That an example runs and prints what its page says is checked with the page's other blocks, in
`tests/docs`; here, that there is no example without such a block.
"""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(
    path for name in ("training", "pruning") for path in ROOT.glob(f"examples/{name}/*.py")
)
PAGES = sorted(ROOT.glob("docs/**/*.md"))
SHOWN = r"(<!-- check: [a-z ]+ -->\n)?```console\n\$ python {script} --picture {picture}\n(.+?)```"


def shown_by(script: Path) -> tuple[Path, re.Match[str]] | None:
    """The page and its block that runs an example and draws its picture."""
    picture = script.stem.replace("_", "-") + ".svg"
    names = {"script": script.relative_to(ROOT), "picture": picture}
    pattern = SHOWN.format(**{name: re.escape(str(value)) for name, value in names.items()})
    found = ((page, re.search(pattern, page.read_text(), re.DOTALL)) for page in PAGES)
    return next(((page, match) for page, match in found if match), None)


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_run_and_pictured_on_a_page(script):
    found = shown_by(script)
    assert found, (
        f"no page runs `python {script.relative_to(ROOT)} --picture ...` in a console block"
    )
    page, match = found
    assert match[1] != "<!-- check: not run -->\n"
    assert len(match[2].splitlines()) > 1, "the page shows what the example prints"
    picture = script.stem.replace("_", "-") + ".svg"
    assert f"pictures/{picture})" in page.read_text()
    assert ElementTree.parse(ROOT / "docs/pictures" / picture).getroot().tag.endswith("svg")
