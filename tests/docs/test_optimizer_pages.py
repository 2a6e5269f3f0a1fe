"""The generated pages about optimizers: complete, true to the rules, and drawn as they say."""

import math
import re
from types import SimpleNamespace
from xml.etree import ElementTree

import hooks
import pytest
import torch
from optimizer_pages import families, gallery, overview, page, paths, picture, tables
from optimizer_pages.docstrings import explanation, sentence
from optimizer_pages.paths import Path, Terrain
from optimizer_pages.subjects import subjects
from optimizer_pages.wrappers import by_module, wrapper_sections
from torch.testing import assert_close

from thalweg.landscapes import quadratic, saddle
from thalweg.optim import RULES, wrappers
from thalweg.optim.rule import FACTS

SUBJECTS = subjects()
SOME = ("sgd", "adam", "adafactor")
BOWL = Terrain("A bowl", quadratic((1.0, 4.0)), 30, ((-2.0, 2.0), (-1.5, 1.5)))


def a_path(lr=0.1):
    return Path(lr, [(1.0, 1.0), (0.5, 0.25), (0.2, -0.1)], 0.02)


def some_paths(name):
    return {"bowl": {walker.label: a_path() for walker in families.walkers(name)}}


# What has a page, and in what company.


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_optimizer_belongs_to_a_family_and_meets_relatives(name):
    assert families.family(name) != "Others", "name it in docs/optimizer_pages/families.py"
    labels = [walker.label for walker in families.walkers(name)]
    assert labels[0] == name
    assert 2 <= len(labels) <= len(picture.LIGHT)


def test_the_tables_of_families_name_nobody_unknown():
    members = {name for family in families.FAMILIES.values() for name in family}
    relatives = {label for labels in families.RELATIVES.values() for label in labels}
    assert members == set(SUBJECTS)
    assert families.RELATIVES.keys() == set(SUBJECTS)
    assert {families.walker(label).rule for label in relatives} <= families.KNOWN
    assert sum(map(len, families.FAMILIES.values())) == len(members), "one family each"


def test_every_rule_and_every_class_is_on_a_page():
    assert set(RULES) <= set(SUBJECTS)
    shown = [made for subject in SUBJECTS.values() for made in subject.classes]
    assert {made.__name__ for made in shown} >= {"SGD", "Adam", "AdamW"}
    assert len(shown) == len(set(shown))


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_docstring_is_taken_apart_without_loss(name):
    subject = SUBJECTS[name]
    told = subject.explanation
    kept = [told.title, told.summary, told.preface, *told.sections, *told.sections.values()]
    words = lambda text: re.sub(r"[\s:.,]+", " ", text).lower().split()
    assert sorted(words(" ".join(kept))) == sorted(words(subject.doc))


def test_headings_are_found_where_they_stand():
    told = explanation(
        "Adam: with moments.\n\nA word before.\n\nIdea: one.\nWhy not: two.\n\n"
        "Formula, as computed:\n\n    p <- p\n\nmore\n\nReference: Who (1951), Why (2015)."
    )
    assert (told.title, told.summary, told.preface) == ("Adam", "With moments.", "A word before.")
    assert told.sections == {
        "Idea": "One.\nWhy not: two.",
        "Formula": "As computed:\n\n    p <- p\n\nmore",
        "Reference": "Who (1951), Why (2015).",
    }
    assert told.year == "1951"


# What a page says.


@pytest.mark.parametrize("name", SOME)
def test_a_page_shows_all_that_the_rule_declares(name):
    subject, rule = SUBJECTS[name], RULES[name]
    text = page.page(subject, some_paths(name), {"bowl": BOWL})
    assert text.startswith(f"# {subject.title}\n")
    for heading in ("Idea", "Formula", "Why", "When to choose it", "State", "Hyperparameters"):
        assert f"\n## {heading}\n" in text
    for slot in rule.slots:
        assert f"| `{slot.name}` | `{slot.argument}` |" in text
    for key, default in rule.hyperparameters.items():
        assert f"| `{key}` | `{default!r}` |" in text
    for fact in FACTS:
        assert (f"| **{fact}** |" in text) == (fact in rule.facts)
    assert f"]({name}.svg)" in text
    assert f"def {name}(" in text


def test_a_page_shows_each_class_with_its_own_words_and_defaults():
    text = page.page(SUBJECTS["adam"], some_paths("adam"), {"bowl": BOWL})
    assert "AdamW(params, lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01" in text
    assert "AdamW: Adam with decoupled weight decay." in text
    assert text.count("## Idea") == 1
    assert "Idea: " not in text
    assert "| `weight_decay` | `0.0` | how strongly" in text


def test_the_defaults_are_the_classs():
    assert SUBJECTS["sgdschedulefree"].rule.hyperparameters["lr"] != 1.0
    assert "| `lr` | `1.0` |" in tables.hyperparameter_table(SUBJECTS["sgdschedulefree"])


@pytest.mark.parametrize("name", SUBJECTS)
def test_calls_fit_the_page_and_can_be_read(name):
    for made in SUBJECTS[name].classes:
        lines = tables.signature(made).splitlines()
        assert max(map(len, lines)) <= 100
        assert lines[0].startswith(f"{made.__name__}(params, ")


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_state_in_the_table_is_what_is_kept(name):
    subject = SUBJECTS[name]
    table = tables.state_table(subject)
    declared = {slot.name for slot in subject.rule.slots}
    found = set()
    for settings in tables.opened(subject.rule):
        found |= tables.kept(subject, (6, 4), settings).keys()
    assert found - {"step"} <= declared
    assert all(f"| `{slot}` |" in table for slot in declared)
    assert ("not for a matrix" in table) == (not declared <= found)


@pytest.mark.parametrize(
    "name, slot, condition",
    [
        ("sgd", "momentum_buffer", "`momentum`"),
        ("shampoo", "sum", "`grafting`"),
        ("soap", "left", "–"),
        ("adam", "exp_avg", "–"),
    ],
)
def test_state_that_is_not_always_kept_says_when(name, slot, condition):
    rows = tables.state_table(SUBJECTS[name]).splitlines()
    assert [row.endswith(f"| {condition} |") for row in rows if f"| `{slot}` |" in row] == [True]


def test_only_what_is_for_vectors_is_not_for_a_matrix():
    missing = [n for n in SUBJECTS if "not for a matrix" in tables.state_table(SUBJECTS[n])]
    assert missing == ["adafactor"]  # whose second moment is factored where there are two sides


@pytest.mark.parametrize("name, bytes_", [("sgd", "0"), ("momentum", "4"), ("adam", "8")])
def test_bytes_of_state(name, bytes_):
    assert tables.bytes_kept(SUBJECTS[name]) == bytes_


@pytest.mark.parametrize(
    "shape, words",
    [
        ((6, 4), "as the parameter"),
        ((), "a number"),
        ((6, 1), "m, for an m × n matrix"),
        ((4, 4), "n × n, for an m × n matrix"),
        (None, "not for a matrix"),
    ],
)
def test_shapes_are_told_in_words(shape, words):
    assert tables.told(shape) == words


def test_every_fact_is_explained():
    assert list(tables.FACTS) == list(FACTS)
    assert overview.SHORT.keys() == tables.FACTS.keys()


@pytest.mark.parametrize(
    "text, told",
    [
        ("one", "One"),
        ("a step", "A step"),
        ("beta = 0 is", "beta = 0 is"),
        ("p moves", "p moves"),
        ("`lr`", "`lr`"),
    ],
)
def test_sentences_begin_with_a_capital_and_letters_stay(text, told):
    assert sentence(text) == told


def test_bars_do_not_break_a_table():
    assert tables.table(("a", "b"), [("|p|", "c")]).splitlines()[-1] == r"| \|p\| | c |"


def test_the_overview_links_every_page_once():
    text = overview.overview(SUBJECTS)
    links = re.findall(r"\]\(optimizers/(\w+)\.md\)", text)
    assert sorted(links) == sorted(SUBJECTS)


def test_the_page_of_wrappers_holds_them_all():
    text = wrapper_sections()
    found = {each.__name__ for members in by_module().values() for each in members}
    assert found >= {"l1", "l2", "decoupled", "clip_by_global_norm", "lookahead", "maximize"}
    assert found <= set(wrappers.__all__)
    assert all(f"| `{name}` |" in text for name in found)


# Where the paths go.


def test_the_best_rate_is_kept():
    unit = Terrain("unit", quadratic((1.0, 1.0)), 3, BOWL.view)
    found = paths.best_path(families.walker("sgd"), unit)
    assert_close(found.lr, 1.0)  # arrives in one step
    assert_close(torch.tensor(found.points), torch.tensor([[1.0, 1.0]] + [[0.0, 0.0]] * 3))
    assert found.excess == 0.0


def test_a_path_is_the_optimizers_own():
    points = paths.run(families.Walker("x", "sgd", {"momentum": 0.9}), BOWL, 0.1)
    w = BOWL.landscape.start.clone().requires_grad_()
    own, expected = torch.optim.SGD([w], lr=0.1, momentum=0.9), [w.detach().clone()]
    for _ in range(BOWL.steps):
        own.zero_grad()
        BOWL.landscape(w).backward()
        own.step()
        expected.append(w.detach().clone())
    assert_close(points, torch.stack(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("climb", [(1.0, 1.1), (math.nan, 0.0), (math.inf, 0.0)])
def test_rates_that_climb_are_out(climb):
    land = BOWL.landscape
    inside = torch.tensor([[1.0, 1.0], [0.5, 0.1]], dtype=torch.float64)
    assert math.isfinite(paths.score(land, inside))
    assert paths.score(land, torch.cat([inside, torch.tensor([climb]).double()])) == math.inf


def test_an_earlier_arrival_scores_better():
    late = torch.tensor([[1.0, 1.0], [0.9, 0.9], [0.1, 0.1]], dtype=torch.float64)
    early = late[[0, 2, 2]]
    assert paths.score(BOWL.landscape, early) < paths.score(BOWL.landscape, late)


def test_rules_for_matrices_walk_as_a_row():
    assert paths.shape("muon") == (1, 2)
    assert paths.shape("adam") == (2,)


# What is drawn.


def test_a_level_line_is_level():
    terrain = Terrain("saddle", saddle(), 1, ((-1.9, 1.9), (-1.9, 1.9)))
    lines = [torch.tensor(line, dtype=torch.float64) for line in picture.contours(terrain)]
    levels = []
    for line in lines:
        values = terrain.landscape(line) + 1
        assert float(values.max() - values.min()) < 0.02 + 0.02 * float(values.max())
        levels.append(float(values.mean()))
    top = float((terrain.landscape(torch.tensor([1.9, 0.0]).double()) + 1) ** 0.25)
    steps = torch.tensor(levels) ** 0.25 / top * picture.LEVELS
    steps = steps[steps > 3.5]  # below, a line between two points of the grid is too coarse
    assert_close(steps, steps.round(), rtol=0, atol=0.1)
    assert set(steps.round().tolist()) >= set(range(4, picture.LEVELS))


def test_a_picture_has_a_panel_for_each_landscape_and_a_key():
    other = Terrain("Another", saddle(), 2, ((-2.0, 2.0), (-2.0, 2.0)))
    labels = ("adam", "rmsprop", "sgd, momentum 0.9")
    walked = {label: a_path() for label in labels}
    svg = picture.drawing({"one": walked, "two": walked}, {"one": BOWL, "two": other})
    texts = {node.text for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")}
    assert texts == {"A bowl", "Another", *labels}
    assert "prefers-color-scheme:dark" in svg
    used = set(re.findall(r"var\(--([\w-]+)\)", svg))
    for theme in re.findall(r":root\{([^}]*)\}", svg):
        assert used <= set(re.findall(r"--([\w-]+):", theme))


def test_the_path_is_drawn_through_its_points():
    svg = picture.drawing({"one": {"sgd": a_path()}}, {"one": BOWL})
    across = lambda x: (x + 2) / 4 * picture.SIZE
    up = lambda y: (1.5 - y) / 3 * picture.SIZE
    drawn = re.findall(r'd="M([-\d.,L]+)" stroke="var\(--path-0\)" stroke-width="2.2"', svg)
    points = [tuple(map(float, pair.split(","))) for pair in drawn[0].split("L")]
    expected = [(across(x), up(y)) for x, y in a_path().points]
    assert_close(torch.tensor(points), torch.tensor(expected), rtol=0, atol=0.11)


# What is kept, and what MkDocs is given.


@pytest.fixture
def small_gallery(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "terrains", lambda: {"bowl": BOWL})
    monkeypatch.setattr(paths, "RATES", (0.01, 0.1))
    return lambda: gallery.Gallery(tmp_path)


def test_what_was_drawn_is_not_drawn_again(small_gallery, monkeypatch):
    first = small_gallery()
    drawn, walked = first.picture("sgd"), first.paths("sgd")
    assert list(walked["bowl"]) == [walker.label for walker in families.walkers("sgd")]
    monkeypatch.setattr(paths, "best_path", None)
    monkeypatch.setattr(picture, "drawing", None)
    again = small_gallery()
    assert again.picture("sgd") == drawn
    assert [tuple(xy) for xy in again.paths("sgd")["bowl"]["sgd"].points] == [
        tuple(xy) for xy in walked["bowl"]["sgd"].points
    ]


def test_a_changed_source_is_drawn_anew_and_the_old_thrown_away(small_gallery, monkeypatch):
    first = small_gallery()
    monkeypatch.setattr(gallery, "fingerprint", lambda: "another")
    second = small_gallery()
    assert second.folder != first.folder
    assert not first.folder.exists()


def test_the_fingerprint_follows_the_sources(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "ROOT", tmp_path)
    monkeypatch.setattr(gallery, "SOURCES", ("rules",))
    (tmp_path / "rules").mkdir()
    file = tmp_path / "rules" / "adam.py"
    seen = set()
    for text in ("one", "two", "one"):
        file.write_text(text)
        seen.add(gallery.fingerprint())
    assert len(seen) == 2


def test_the_sources_are_there():
    names = {file.name for file in gallery.sources()}
    assert {"sgd.py", "engine.py", "rosenbrock.py", "picture.py"} <= names


def test_mkdocs_gets_a_page_and_a_picture_for_each(small_gallery):
    made = hooks.made(SUBJECTS["sgd"], small_gallery())
    assert set(made) == {"sgd.md", "sgd.svg"}
    assert made["sgd.svg"].startswith("<svg")
    assert f"{len(paths.RATES)} from" in made["sgd.md"]


def test_the_navigation_grows_where_the_optimizers_stand():
    config = SimpleNamespace(nav=[{"Home": "index.md"}, {"Reference": [{"O": "optimizers.md"}]}])
    section = hooks.on_config(config).nav[1]["Reference"][0]["O"]
    assert config.nav[0] == {"Home": "index.md"}
    assert section[0] == "optimizers.md"
    assert {"Adam": "optimizers/adam.md"} in section
    assert len(section) == len(SUBJECTS) + 2
    addresses = [address for entry in section[1:-1] for address in entry.values()]
    linked = re.findall(r"\]\((optimizers/\w+\.md)\)", overview.overview(SUBJECTS))
    assert addresses == linked, "in the order of the overview"


@pytest.mark.parametrize(
    "kind, holds", [("optimizers", "optimizers/adam.md"), ("wrappers", "`l2`"), ("obstacle", "## ")]
)
def test_generated_parts_are_filled_in(kind, holds):
    text = hooks.on_page_markdown(f"before\n<!-- generated: {kind} -->\nafter")
    assert text.startswith("before\n")
    assert text.endswith("\nafter")
    assert holds in text
