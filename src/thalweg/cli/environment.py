"""`thalweg env`: versions, cores and devices, to paste into an issue."""

import argparse
import os
import platform
from importlib.metadata import PackageNotFoundError, version

import thalweg
from thalweg.cli.command import Command

EXTRAS = {
    "cli": ("rich",),
    "report": ("altair", "vl-convert-python", "jinja2"),
    "examples": ("scikit-learn",),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add no options: there are none."""


def run(options: argparse.Namespace) -> int:
    """Print the facts."""
    facts = environment()
    width = max(map(len, facts))
    print("Copy and paste this into an issue:\n")
    for name, value in facts.items():
        print(f"    {name:{width}}  {value}")
    return 0


def environment() -> dict[str, str]:
    """The facts about this installation and this machine by name."""
    return {
        "thalweg": thalweg.__version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "torch": installed("torch"),
        "numpy": installed("numpy"),
        "platform": platform.platform(),
        "cores": cores(),
        "device": device(),
        **{f"extra {name}": ", ".join(map(named, needs)) for name, needs in EXTRAS.items()},
    }


def installed(package: str) -> str:
    """The version of a package, or that it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def named(package: str) -> str:
    """A package with its version."""
    return f"{package} {installed(package)}"


def cores() -> str:
    """How many cores this process may use, and how many there are."""
    total = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    return f"{usable} usable of {total}"


def device() -> str:
    """The accelerator that PyTorch sees, or the CPU."""
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()} (CUDA {torch.version.cuda})"
    accelerator = torch.accelerator.current_accelerator()
    return "cpu" if accelerator is None else str(accelerator)


COMMAND = Command(
    name="env",
    summary="print versions, cores and devices, for an issue",
    usage="",
    description="Print what an issue should say about the installation and the machine.",
    example="thalweg env",
    python="thalweg.environment()",
    configure=configure,
    run=run,
)
