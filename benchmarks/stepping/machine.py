"""The machine: what it is, how much memory is left on it, and how fast it moves bytes.

A step reads and writes each byte where it stands, so its floor is a pass that does nothing else: a
large vector negated in place. A copy to another place is slower for the same bytes, because the
processor first reads the lines that it is about to overwrite; both are measured.
"""

import os
import platform
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

AT_LEAST = 1 << 27  # floats: more than processors have cache


class Pass:
    """One pass over a vector, counted as its bytes read once and written once."""

    def __init__(self, step, bytes):
        self.step, self.bytes = step, bytes

    def ready(self):
        pass


def passes(elements, device):
    """A pass in place and a copy, over a vector as large as a model but larger than any cache."""
    x = torch.ones(max(elements, AT_LEAST), device=device)
    y = torch.empty_like(x)
    moved = 2 * x.nbytes
    return {"in place": Pass(x.neg_, moved), "copy": Pass(lambda: y.copy_(x), moved)}


def available_bytes(device):
    """How much memory can still be taken."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return float("inf")
    line = next(x for x in meminfo.read_text().splitlines() if x.startswith("MemAvailable"))
    return int(line.split()[1]) * 1024


def limit_memory():
    """Let what does not fit fail with an error, instead of the system ending the process."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    held = _data_bytes()
    if held is not None:
        most = held + int(0.9 * available_bytes("cpu"))
        resource.setrlimit(
            resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1])
        )


def _data_bytes():
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(x.split()[1]) * 1024 for x in lines if x.startswith("VmData")), None)


@cache
def in_words(device):
    """Processor, memory, versions, and how busy it was when this was first asked."""
    if device == "cuda":
        name, memory = _gpu()
    else:
        name, memory = _processor(), _total_memory()
    return f"{name}, {memory / 2**30:.0f} GiB; load at the start {_load()}. {_versions()}"


def _load():
    """Who else is at work: processes that ran or waited in the last minutes, on average."""
    return f"{os.getloadavg()[2]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def _gpu():
    properties = torch.cuda.get_device_properties(0)
    return properties.name, properties.total_memory


def _processor():
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    threads = torch.get_num_threads()
    return f"{name}, {os.cpu_count()} cores, {threads} thread{'s' * (threads > 1)}"


def _total_memory():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _versions():
    names = ("torch", "heavyball", "pytorch_optimizer", "optax", "jax")
    return ", ".join(f"{name} {version}" for name in names if (version := _version(name)))


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
