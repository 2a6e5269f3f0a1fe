"""The paths and pictures of all subjects, kept until a source that they depend on changes.

What is drawn lies below `build/`, under a name that is a hash of the sources of rules, landscapes
and these pages, and of the versions of the packages that compute and draw.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path as File

from optimizer_pages import families, paths, picture
from optimizer_pages.paths import Path

ROOT = File(__file__).resolve().parents[2]
SOURCES = ("src/thalweg/optim", "src/thalweg/landscapes", "docs/optimizer_pages")
PACKAGES = ("torch", "altair", "vl-convert-python", "contourpy")

Paths = dict[str, dict[str, Path]]


def fingerprint() -> str:
    """A hash of everything that a picture depends on."""
    digest = hashlib.sha256(" ".join(map(version, PACKAGES)).encode())
    for file in sources():
        digest.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def sources() -> Iterator[File]:
    """The files whose change may change a picture."""
    for folder in SOURCES:
        yield from sorted((ROOT / folder).rglob("*.py"))


class Gallery:
    """Paths and pictures by name, from the folder if they are there.

    Args:
        folder: Where they are kept; a folder inside it is named by the fingerprint.
    """

    def __init__(self, folder: File = ROOT / "build" / "optimizer_pages") -> None:
        self.folder = folder / fingerprint()
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in set(folder.iterdir()) - {self.folder}:
            shutil.rmtree(old)
        self.terrains = paths.terrains()

    def paths(self, name: str) -> Paths:
        """The paths of a subject and its relatives: by terrain, then by the walker's label."""
        walkers = families.walkers(name)
        walked = {each.label: self.walk(each) for each in walkers}
        return {
            terrain: {label: found[terrain] for label, found in walked.items()}
            for terrain in self.terrains
        }

    def walk(self, walker: families.Walker) -> Mapping[str, Path]:
        """One walker's paths by terrain."""
        file = self.folder / f"{walker.label.replace(', ', '-')}.json"
        if not file.exists():
            found = {k: asdict(paths.best_path(walker, t)) for k, t in self.terrains.items()}
            file.write_text(json.dumps(found))
        return {k: Path(**data) for k, data in json.loads(file.read_text()).items()}

    def picture(self, name: str) -> str:
        """The SVG of a subject."""
        file = self.folder / f"{name}.svg"
        if not file.exists():
            file.write_text(picture.drawing(self.paths(name), self.terrains))
        return file.read_text()
