"""The curvature of an unedited training script at chosen steps."""

from thalweg.survey.survey import ScriptFailed, Survey, survey

__all__ = ["ScriptFailed", "Survey", "survey"]
