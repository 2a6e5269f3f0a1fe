"""Seeing: a session shows a running program, a recorder writes it down, a tape replays a step."""

from thalweg.recorder.recorder import Recorder
from thalweg.recorder.recording import Recording
from thalweg.recorder.samples import Step
from thalweg.recorder.session import Call, Listener, Session
from thalweg.recorder.tape import Tape, TapeError, TapeRecorder

__all__ = [
    "Call",
    "Listener",
    "Recorder",
    "Recording",
    "Session",
    "Step",
    "Tape",
    "TapeError",
    "TapeRecorder",
]
