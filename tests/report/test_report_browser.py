"""The HTML page in a real browser: headless Chromium, from the file, without a network.

Skipped where Chromium and its driver are not installed; there, in CI, they fail instead.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from thalweg import report

pytestmark = pytest.mark.browser

WIDTHS = [320, 390, 1280]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

# For every text that is seen: its colour against the nearest background behind it.
CONTRASTS = """
const channels = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const luminance = (color) => {
  const [r, g, b] = color.map((c) => c / 255).map((c) =>
    c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const color = channels(getComputedStyle(at).backgroundColor);
    if (color.length === 3) return color;
  }
  return [255, 255, 255];
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim()) continue;
  if (element.closest("script, style, noscript")) continue;
  if (!element.getClientRects().length) continue;
  const style = getComputedStyle(element);
  const ink = element instanceof SVGElement ? style.fill : style.color;
  const [a, b] = [luminance(channels(ink)), luminance(behind(element))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  found.push([ratio, walker.currentNode.textContent.trim()]);
}
return found;
"""


def missing(what: str) -> None:
    """Skip, or in CI fail: there, a page that no browser has seen is not tested."""
    reason = f"{what} is not installed (Debian: apt-get install chromium chromium-driver)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def found(*names: str) -> str:
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        missing(names[0])
    return str(path)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium with a fresh profile, its console and its requests on record."""
    webdriver = pytest.importorskip("selenium.webdriver")
    binary = found("chromium", "chromium-browser", "google-chrome")
    driver = found("chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    chromium = webdriver.Chrome(options=options, service=service)
    yield chromium
    chromium.quit()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages by sample, written once."""
    return {"folder": tmp_path_factory.mktemp("pages with <&> in the name")}


@pytest.fixture(scope="module")
def loaded(browser, written, sample_name, sample) -> dict[str, list[Any]]:
    """A sample's page, loaded once for the tests that only look: what loading it recorded."""
    opened(browser, written, sample_name, sample)
    return {"console": browser.get_log("browser"), "requests": requests(browser)}


@pytest.fixture
def shown(browser, loaded, written, sample_name, sample) -> Any:
    """The browser at a sample's page, light and wide, its charts drawn."""
    if browser.current_url != written[sample_name].as_uri():
        opened(browser, written, sample_name, sample)
    look(browser, 1280, "light")
    return browser


def opened(browser: Any, written: dict[str, Path], name: str, data: Any) -> Any:
    if name not in written:
        written[name] = written["folder"] / f"{name}.html"
        report.write_html(data, written[name])
    look(browser, 1280, "light")
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(written[name].as_uri())
    wait(browser, "document.documentElement.dataset.charts === 'drawn'")
    return browser


def look(browser: Any, width: int, theme: str, media: str = "screen") -> None:
    """Give the window a width, and the page a theme."""
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def wait(browser: Any, condition: str, seconds: float = 20.0) -> None:
    """Wait until a condition of the page holds."""
    end = time.monotonic() + seconds
    while not browser.execute_script(f"return Boolean({condition})"):
        assert time.monotonic() < end, f"never came true: {condition}"
        time.sleep(0.02)


def requests(browser: Any) -> list[str]:
    """Every address that the page asked for since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event for event in events if event["method"] == "Network.requestWillBeSent"]
    return [event["params"]["request"]["url"] for event in sent]


def test_the_console_is_silent_and_nothing_is_requested(shown, loaded, written, sample_name):
    assert loaded["console"] == []
    outside = [url for url in loaded["requests"] if not url.startswith("data:")]
    assert outside == [written[sample_name].as_uri()]
    assert shown.execute_script("return window.hacked") is None


def test_the_record_of_requests_sees_them(browser, tmp_path):
    path = tmp_path / "calls.html"
    path.write_text('<!doctype html><img src="http://127.0.0.1:9/x.png" alt="">')
    requests(browser)
    browser.get(path.as_uri())
    assert "http://127.0.0.1:9/x.png" in requests(browser)
    browser.get_log("browser")


def test_charts_are_drawn_and_described(shown):
    charts = shown.execute_script("""
        return [...document.querySelectorAll("[data-chart]")].map((place) => ({
          name: place.dataset.chart,
          label: place.closest("[role=graphics-document]")?.getAttribute("aria-label"),
          marks: [...place.querySelectorAll(".mark-line path, .mark-symbol path")]
              .filter((path) => (path.getAttribute("d") || "").length > 10).length,
          ticks: place.querySelectorAll(".role-axis-label text").length,
        }));""")
    held = shown.execute_script("return JSON.parse(document.getElementById('charts').textContent)")
    assert {chart["name"] for chart in charts} == set(held)
    for chart in charts:
        assert chart["marks"] > 0, chart
        assert chart["ticks"] > 2, chart
        assert chart["label"] == held[chart["name"]]["description"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_can_be_read(shown, theme):
    look(shown, 1280, theme)
    shown.execute_script("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    contrasts = shown.execute_script(CONTRASTS)
    assert len(contrasts) > 15
    faint = [(round(ratio, 2), text) for ratio, text in contrasts if ratio < 4.5]
    assert faint == []


def test_nothing_overflows_at_any_width(shown):
    """The same page, made narrower and wider again without a reload: charts follow."""
    for width in [*WIDTHS, *reversed(WIDTHS)]:
        look(shown, width, "light")
        wait(
            shown,
            "[...document.querySelectorAll('.plot svg')].every((svg) => "
            "Math.abs(svg.getBoundingClientRect().width - svg.closest('.plot').clientWidth) <= 2)",
        )
        assert shown.execute_script("return document.documentElement.scrollWidth") <= width
        beyond = shown.execute_script("""
            return [...document.querySelectorAll("main *")]
              .filter((one) => !one.closest(".wide") && !one.closest("svg"))
              .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
              .map((one) => one.outerHTML.slice(0, 120));""")
        assert beyond == []


def colours(browser: Any) -> dict[str, str]:
    """The page's background and the colours of the first chart's two lines."""
    return browser.execute_script("""
        const lines = document.querySelectorAll("[data-chart=finding-0-loss] .mark-line path");
        const paints = [...lines].map((line) => getComputedStyle(line).stroke);
        return {paper: getComputedStyle(document.body).backgroundColor,
                paints: [...new Set(paints)].sort()};""")


def test_the_theme_changes_without_a_reload(browser, written, samples):
    opened(browser, written, "obstructed", samples["obstructed"])
    seen = {}
    for theme in ("light", "dark"):
        look(browser, 1280, theme)
        seen[theme] = colours(browser)
    assert seen["light"] == {
        "paper": "rgb(246, 245, 241)",
        "paints": ["rgb(0, 96, 159)", "rgb(184, 74, 0)"],
    }
    assert seen["dark"] == {
        "paper": "rgb(15, 21, 26)",
        "paints": ["rgb(255, 154, 87)", "rgb(98, 184, 245)"],
    }


def test_paper_is_white_and_unfolded(browser, written, samples):
    opened(browser, written, "obstructed", samples["obstructed"])
    look(browser, 794, "dark", media="print")
    assert colours(browser)["paper"] == "rgb(255, 255, 255)"
    folded = "return document.querySelectorAll('details:not([open])').length"
    assert browser.execute_script(folded) > 0
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert browser.execute_script(folded) == 0
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 794
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script(folded) > 0


def test_a_pointer_is_told_the_value(browser, written, samples):
    opened(browser, written, "obstructed", samples["obstructed"])
    place = browser.execute_script("""
        const chart = document.querySelector("[data-chart=finding-0-loss]");
        chart.scrollIntoView({block: "center"});
        const points = chart.querySelectorAll(".mark-symbol path");
        const box = points[points.length - 1].getBoundingClientRect();
        return {x: box.x + box.width / 2, y: box.y + box.height / 2};""")
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", **place})
    wait(browser, "document.querySelector('#vg-tooltip-element.visible')")
    told = browser.execute_script(
        "return document.getElementById('vg-tooltip-element').innerText.replace(/\\s+/g, ' ')"
    )
    assert "run with the change" in told
    assert "step 689" in told
    assert "value 0.0" in told


def test_the_report_can_be_saved(shown, sample):
    shown.execute_script("""
        URL.createObjectURL = (blob) => { window.saved = blob; return "#"; };
        HTMLAnchorElement.prototype.click = function () { window.savedAs = this.download; };
        document.getElementById("save").dispatchEvent(new Event("click"));""")
    text = shown.execute_async_script("window.saved.text().then(arguments[0])")
    assert json.loads(text) == sample
    assert shown.execute_script("return window.savedAs") == "report.json"


def test_a_chart_that_cannot_be_drawn_says_so(browser, written, samples, monkeypatch):
    from thalweg.report import html, page

    def broken(*_: Any) -> dict[str, Any]:
        return {"mark": "no such mark", "encoding": {}}

    monkeypatch.setattr(page, "seeds_chart", broken)
    path = written["folder"] / "broken.html"
    html.write(samples["obstructed"], path)
    browser.get(path.as_uri())
    wait(browser, "document.documentElement.dataset.charts === 'drawn'")
    text = browser.execute_script(
        "return document.querySelector('[data-chart=finding-0-seeds]').textContent"
    )
    assert text == "This chart could not be drawn."
    assert browser.get_log("browser")
