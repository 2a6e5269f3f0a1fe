"""Seconds and bytes: how a step is timed, and how the memory that it takes for itself is counted.

Time is the clock's; on a GPU that of two CUDA events around the step. Memory is what PyTorch's own
allocator hands out during one later step, once the state is there, at its highest: counted, not
sampled, so it is the same in every run. What the operating system sees is as much or more: the C
library may keep freed pieces that are too small for the next request.
"""

import gc
import json
import signal
import tempfile
import time
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import torch

now = time.perf_counter


def count_own_time():
    """From now on, seconds are those that the processor works for this process."""
    global now
    now = time.process_time


def seconds(work, device="cpu"):
    """How long `work` takes."""
    if device == "cuda":
        return _event_seconds(work)
    start = now()
    work()
    return now() - start


def _event_seconds(work):
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def extra_bytes(work, device="cpu"):
    """The most memory that `work` holds beyond what was held before."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        work()
    with tempfile.NamedTemporaryFile(suffix=".json") as trace:
        profile.export_chrome_trace(trace.name)
        events = json.loads(Path(trace.name).read_text())["traceEvents"]
    changes = [e for e in events if e.get("name") == "[memory]"]
    changes.sort(key=lambda e: e["args"]["Ev Idx"])
    return max(accumulate((e["args"]["Bytes"] for e in changes), initial=0))


@contextmanager
def quiet_collector():
    """No garbage collection in the middle of a measurement."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def within(limit):
    """Raise TimeoutError where the body takes longer than so many seconds."""

    def stop(number, frame):
        raise TimeoutError(f"more than {limit:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
