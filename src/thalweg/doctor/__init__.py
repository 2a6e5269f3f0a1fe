"""Proving: the doctor watches a script, suspects, tries one change at a time, and verifies."""

from thalweg.doctor.diagnosis import Diagnosis, Progress, diagnose
from thalweg.doctor.examination import ScriptFailed

__all__ = ["Diagnosis", "Progress", "ScriptFailed", "diagnose"]
