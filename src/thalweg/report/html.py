"""Write a report as one HTML file that works offline.

The page holds everything it needs: the charts' data, the drawing library (Vega, Vega-Lite and
vega-embed, as vl-convert bundles them) and the report itself as JSON. A content security policy
allows the page's own two scripts, by their hashes, and no request to anywhere, so that a text from
a diagnosed program can neither run nor call out, even if an escape were missed.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import altair
import jinja2
import vl_convert
from markupsafe import Markup

from thalweg.report import wording
from thalweg.report.atomic import write_text
from thalweg.report.causes import meaning, title
from thalweg.report.json import plain
from thalweg.report.page import page
from thalweg.report.schema import validate

LIBRARY = "window.vegaEmbed = vegaEmbed;"
TEMPLATES = Path(__file__).with_name("templates")


def write(data: Mapping[str, Any], path: str | Path) -> None:
    """Write the report `data` as HTML to `path`, whole or not at all.

    Raises:
        ReportError: `data` does not fit the schema, or the file cannot be written.
    """
    write_text(path, render(data))


def render(data: Mapping[str, Any]) -> str:
    """The report `data` as the text of an HTML page.

    Raises:
        ReportError: `data` does not fit the schema.
    """
    data = validate(plain(data))
    shown = wording.printable(data)
    laid_out = page(shown)
    scripts = [drawing_library(), text_of("page.js")]
    return template().render(
        data=shown,
        page=laid_out,
        policy=" ".join(map(script_hash, scripts)),
        scripts=list(map(Markup, scripts)),
        style=Markup(text_of("page.css")),
        charts=embedded(laid_out.charts),
        report=embedded(data),
    )


@cache
def template(name: str = "page.html") -> jinja2.Template:
    """A page's template; everything put into it is escaped unless it is markup already."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["say"] = wording
    environment.filters |= {"title": title, "meaning": meaning}
    return environment.get_template(name)


def text_of(name: str) -> str:
    """A file among the templates."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


@cache
def drawing_library() -> str:
    """Vega, Vega-Lite and vega-embed as one script, of the version that Altair writes for."""
    major, minor = altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2]
    return str(vl_convert.javascript_bundle(LIBRARY, vl_version=f"{major}.{minor}"))


def script_hash(script: str) -> str:
    """A script as the content security policy names it."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def embedded(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in: it holds no `<`, `>` or `&`."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
