"""Without a library its file can be imported, and what needs it says what to install."""

import subprocess
import sys

NAMES = {
    "LightningCallback": ("pytorch_lightning", "lightning"),
    "TransformersCallback": ("transformers", "transformers"),
    "TensorBoardWriter": ("tensorboard", "tensorboard"),
    "WandbWriter": ("wandb", "wandb"),
    "MLflowWriter": ("mlflow", "mlflow"),
    "TrackioWriter": ("trackio", "trackio"),
}
CODE = """
import sys
for name in ("lightning", "pytorch_lightning", "transformers", "tensorboard", "wandb", "mlflow",
             "trackio"):
    sys.modules[name] = None
from thalweg import integrations
for name in sys.argv[1:]:
    try:
        getattr(integrations, name)()
    except ImportError as error:
        print(error)
"""


def test_what_to_install_is_said():
    command = [sys.executable, "-c", CODE, *NAMES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"{name}() needs {library}: install it with: pip install 'thalweg[{extra}]'"
        for name, (library, extra) in NAMES.items()
    ]
