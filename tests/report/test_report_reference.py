"""`docs/report.md` says what the schema says."""

import json
import re

import pytest

from thalweg import report
from thalweg.report import reference
from thalweg.report.schema import schema


@pytest.fixture
def document(root):
    return (root / "docs/report.md").read_text(encoding="utf-8")


def test_the_tables_are_up_to_date(document):
    assert reference.renewed(document) == document, (
        "run: python -m thalweg.report.reference docs/report.md"
    )


def test_every_kind_and_field_is_documented():
    text = reference.markdown()
    assert set(reference.ORDER) == set(schema()["$defs"])
    for kind in schema()["$defs"].values():
        for field in kind.get("properties", {}):
            assert f"| `{field}` |" in text


def test_links_lead_somewhere():
    text = reference.markdown()
    headings = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert set(re.findall(r"\(#(.+?)\)", text)) <= headings


def test_the_example_is_a_report(document):
    (example,) = re.findall(r"```json\n(.*?)```", document, re.DOTALL)
    report.validate(json.loads(example))


def test_a_document_without_marks_is_refused(tmp_path):
    with pytest.raises(ValueError, match="lacks the marks"):
        reference.renewed("# no marks")


def test_the_tables_are_written_between_the_marks(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"before\n{reference.START}old\n{reference.END}after\n")
    reference.main(str(path))
    text = path.read_text()
    assert text.startswith(f"before\n{reference.START}\n### report\n")
    assert text.endswith(f"{reference.END}after\n")
    assert "old\n" not in text
