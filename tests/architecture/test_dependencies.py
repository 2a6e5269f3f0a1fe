"""The core needs PyTorch and NumPy alone, and the front door is cheap to open."""

import json
import subprocess
import sys

import pytest
from source import folder, modules

import thalweg

DRAWING = {"cli", "report"}
CORE = [name for name in modules() if folder(name) not in DRAWING and name != "thalweg.__main__"]
BARE = [*CORE, "thalweg.report", "thalweg.cli.main"]

# Refuses every third-party package but those that PyTorch and NumPy themselves depend on, and
# those of our extras in any case (PyTorch lists Jinja2, and imports it only to compile).
BLOCKER = """
import importlib, json, re, sys
from importlib.metadata import distribution, packages_distributions, PackageNotFoundError

def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()

def closure(name, seen):
    try:
        needs = distribution(name).requires or []
    except PackageNotFoundError:
        return seen
    seen.add(name)
    for need in needs:
        other = normal(re.match(r"[\\w.-]+", need)[0])
        if "extra ==" not in need and other not in seen:
            closure(other, seen)
    return seen

core = closure("torch", set()) | closure("numpy", set()) | {"thalweg"}
extras = {"rich", "altair", "jinja2", "vl_convert", "sklearn", "scipy", "lightning",
          "pytorch_lightning", "transformers", "accelerate", "tensorboard", "wandb", "mlflow",
          "trackio"}
third_party = {
    top for top, owners in packages_distributions().items()
    if top in extras or not set(map(normal, owners)) & core
}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in third_party:
            raise ModuleNotFoundError(f"No module named {name!r} (blocked)", name=name)

sys.meta_path.insert(0, Blocker())
"""


def in_a_bare_environment(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKER + code, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_core_imports_with_torch_and_numpy_alone():
    code = (
        "failed = {}\n"
        "for name in json.loads(sys.argv[1]):\n"
        "    try: importlib.import_module(name)\n"
        "    except ImportError as error: failed[name] = str(error)\n"
        "print(json.dumps(failed))"
    )
    done = in_a_bare_environment(code, json.dumps(BARE))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


def test_the_blocker_blocks():
    done = in_a_bare_environment("import rich")
    assert "No module named 'rich' (blocked)" in done.stderr


@pytest.mark.parametrize("name", ["diagnose", "explain"])
def test_a_command_without_its_packages_says_what_to_install(name):
    code = f"from thalweg.cli.main import main; sys.exit(main(['{name}', 'train.py']))"
    hidden = "sys.modules['rich'] = None\nimport importlib.util\n"
    hidden += "found = importlib.util.find_spec\n"
    hidden += "importlib.util.find_spec = lambda n: None if n == 'rich' else found(n)\n"
    done = in_a_bare_environment(hidden + code)
    assert done.returncode == 2
    assert done.stderr == (f"thalweg {name}: this command needs rich: pip install 'thalweg[cli]'\n")


@pytest.mark.parametrize(
    "code", ["import thalweg", "from thalweg.cli.main import main; main(['--help'])"]
)
def test_opening_the_front_door_loads_no_pytorch(code):
    check = "; import sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code + check], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", thalweg.__all__)
def test_every_public_name_is_there(name):
    assert getattr(thalweg, name)


@pytest.mark.parametrize("name", [name for name in dir(thalweg) if name not in thalweg.__all__])
def test_every_part_is_there(name):
    assert getattr(thalweg, name).__name__ == f"thalweg.{name}"


def test_every_folder_is_a_part():
    folders = {folder(name) for name in modules()} - {"cli", "front door"}
    assert folders <= set(dir(thalweg))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'diagnoze'"):
        thalweg.diagnoze  # noqa: B018
