"""Proving: the doctor watches a script, suspects, tries one change at a time, and verifies."""

from thalweg.doctor.diagnosis import Diagnosis, Progress, ScriptFailed, diagnose

__all__ = ["Diagnosis", "Progress", "ScriptFailed", "diagnose"]
