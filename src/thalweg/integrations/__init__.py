"""Watching inside other libraries: callbacks for trainers, writers for experiment trackers.

    trainer = Trainer(callbacks=[thalweg.integrations.LightningCallback()])     # Lightning
    trainer = Trainer(..., callbacks=[thalweg.integrations.TransformersCallback()])
    with thalweg.watch(writers=[thalweg.integrations.TensorBoardWriter("runs/watched")]): ...

Each is one file around one library, which is imported when the name is first asked for, and needed
when an object is made. A loop of Accelerate's needs nothing of its own: ``with thalweg.watch():``.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thalweg.integrations.lightning import LightningCallback
    from thalweg.integrations.mlflow import MLflowWriter
    from thalweg.integrations.tensorboard import TensorBoardWriter
    from thalweg.integrations.trackio import TrackioWriter
    from thalweg.integrations.transformers import TransformersCallback
    from thalweg.integrations.wandb import WandbWriter

__all__ = [
    "LightningCallback",
    "MLflowWriter",
    "TensorBoardWriter",
    "TrackioWriter",
    "TransformersCallback",
    "WandbWriter",
    "writer",
]

_FILES = {
    "LightningCallback": "lightning",
    "MLflowWriter": "mlflow",
    "TensorBoardWriter": "tensorboard",
    "TrackioWriter": "trackio",
    "TransformersCallback": "transformers",
    "WandbWriter": "wandb",
}
WRITERS = {
    "tensorboard": "TensorBoardWriter",
    "wandb": "WandbWriter",
    "mlflow": "MLflowWriter",
    "trackio": "TrackioWriter",
}


def writer(name: str) -> Any:
    """A writer with its defaults, by the name of its library: one of `WRITERS`.

    Raises:
        ValueError: No writer has this name.
        ImportError: The library is not installed; the message says what to install.
    """
    if name not in WRITERS:
        raise ValueError(f"writer({name!r}): choose one of {', '.join(WRITERS)}")
    return __getattr__(WRITERS[name])()


def __getattr__(name: str) -> Any:
    """Load a callback or writer when it is first named."""
    if name in _FILES:
        return getattr(importlib.import_module(f"thalweg.integrations.{_FILES[name]}"), name)
    raise AttributeError(f"module 'thalweg.integrations' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
