"""The HTML page as a text: whole, escaped, self-contained, in order."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import altair
import pytest
import vl_convert

from thalweg.report import ReportError
from thalweg.report.html import drawing_library, embedded, render
from thalweg.report.json import plain

LOADING = {"src", "srcset", "href", "action", "data", "poster", "background", "cite", "ping"}


class Parsed(HTMLParser):
    """A page as lists: elements with attributes, scripts by their attributes, visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.contents: dict[int, str] = {}
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.contents[len(self.elements) - 1] = data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def held(self, name: str) -> Any:
        (index,) = [i for i, (_, at) in enumerate(self.elements) if at.get("id") == name]
        return json.loads(self.contents[index])


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Pages by sample, each rendered once for all tests of this file."""
    return {}


@pytest.fixture
def page(pages, sample_name, sample) -> Parsed:
    if sample_name not in pages:
        pages[sample_name] = render(sample)
    return Parsed(pages[sample_name])


def test_the_report_is_held_as_it_is(page, sample):
    assert page.held("report") == plain(sample)


def test_nothing_is_loaded_from_anywhere(page):
    loads = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in LOADING
    ]
    assert set(loads) <= {"data:,"}
    style = "".join(page.contents[i] for i, (tag, _) in enumerate(page.elements) if tag == "style")
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_names_the_scripts_and_nothing_else(page):
    (policy,) = [
        at["content"]
        for at in page.named("meta")
        if at.get("http-equiv") == "Content-Security-Policy"
    ]
    scripts = [
        page.contents[i].encode()
        for i, (tag, at) in enumerate(page.elements)
        if tag == "script" and "type" not in at
    ]
    digests = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in scripts]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]
    assert len(scripts) == 2


def test_texts_add_no_element(samples):
    page = Parsed(render(samples["hostile"]))
    tags = {tag for tag, _ in page.elements}
    assert tags <= {tag for tag, _ in Parsed(render(samples["obstructed"])).elements}
    assert len(page.named("script")) == 4
    assert not page.named("img")
    assert all(not name.startswith("on") for _, at in page.elements for name in at)
    assert "</script><script>window.hacked=1</script>" in page.text


def test_names_are_unique_and_references_hold(page):
    names = [at["id"] for _, at in page.elements if "id" in at]
    assert len(names) == len(set(names))
    assert {at["aria-labelledby"] for _, at in page.elements if "aria-labelledby" in at} <= set(
        names
    )


def test_headings_are_in_order(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_place_has_its_chart(page):
    places = [at["data-chart"] for _, at in page.elements if "data-chart" in at]
    charts = page.held("charts")
    assert sorted(places) == sorted(charts)
    assert len(places) <= 3 * 2 + 12


def test_charts_compile_and_are_described(page):
    version = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    for name, spec in page.held("charts").items():
        vega = vl_convert.vegalite_to_vega(spec, vl_version=version)
        assert vega["marks"], name
        assert len(spec["description"]) > 20
        assert spec["width"] == "container"


def test_charts_hold_few_points(page):
    for name, spec in page.held("charts").items():
        rows = sum(len(rows) for rows in spec["datasets"].values())
        assert 0 < rows <= (700 if name.startswith("cleared") else 2500), name


@pytest.mark.parametrize(
    ("name", "charts"),
    [
        ("healthy", {"run-loss", "run-measure", "cleared-0", "cleared-1", "cleared-2"}),
        ("unknown", {"run-loss", "cleared-0", "cleared-1", "cleared-2"}),
        ("minimal", set()),
        ("bare", set()),
    ],
)
def test_which_charts_there_are(samples, name, charts):
    assert set(Parsed(render(samples[name])).held("charts")) == charts


def test_the_proof_is_the_first_chart(samples):
    page = Parsed(render(samples["obstructed"]))
    places = [at["data-chart"] for _, at in page.elements if "data-chart" in at]
    assert places[:3] == ["finding-0-loss", "finding-0-measure", "finding-0-seeds"]
    charts = page.held("charts")
    runs = {row["run"] for row in charts["finding-0-loss"]["datasets"]["lines"]}
    assert runs == {"as it is", "with the change"}
    assert charts["finding-0-loss"]["encoding"]["y"]["scale"]["type"] == "log"


@pytest.mark.parametrize(
    "words",
    [
        "obstructed 97 % confident Learning rate too high The loss stays where it began",
        "What to change Multiply the learning rate by 0.1 (8 to 0.8).",
        "thalweg run --apply report.json train.py",
        "Held: gain +0.8517 ± 0.0082 over seeds 0, 1, 2. Better on each of three seeds.",
        "as it is ends at 2.561",
        "with the change: learning rate x 0.1 ends at 0.04076",
        "stability ratio 3 ± 0.04 limit 1",
        "loss rises 48.7 % limit 20 %",
        "Or: Weak optimizer",
        "Against chance The remedy is better than the best of 12 random changes.",
        "Ruled out",
        "14 trials in 41 s of 5 min",
        "1.2 s, 690 steps",
        "7 runs in this report",
        "Linux x86_64",
    ],
)
def test_an_obstructed_page_says(samples, pages, words):
    if "obstructed" not in pages:
        pages["obstructed"] = render(samples["obstructed"])
    assert words in Parsed(pages["obstructed"]).text


def test_sections_come_in_order(samples, pages):
    pages.setdefault("obstructed", render(samples["obstructed"]))
    text = Parsed(pages["obstructed"]).text
    parts = ["What to change", "Proof", "Evidence", "Explained by it", "Ruled out", "Cost and"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_a_remedy_that_did_not_hold_is_not_advised(samples):
    data = samples["obstructed"]
    data["findings"][0]["verified"]["held"] = False
    text = Parsed(render(data)).text
    assert "What did not help" in text
    assert "What to change" not in text
    assert "thalweg run --apply" not in text


@pytest.mark.parametrize("text", ["</script>", "<!--", "<script>", "&lt;", "\u2028", "]]>"])
def test_embedded_json_cannot_end_its_element(text):
    markup = embedded({"text": text})
    assert not set("<>&\u2028") & set(markup)
    assert json.loads(markup) == {"text": text}


def test_the_library_does_not_end_its_element():
    assert "</script" not in drawing_library().lower()
    assert "\r" not in drawing_library()


def test_what_is_no_report_is_refused():
    with pytest.raises(ReportError, match="not a Thalweg report"):
        render({})


def test_rendering_does_not_change_the_report(samples):
    data = samples["bare"]
    render(data)
    assert data == samples["bare"]
