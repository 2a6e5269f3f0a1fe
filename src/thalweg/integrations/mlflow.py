"""A writer for MLflow. Reference: https://mlflow.org/docs/latest/ml/tracking/"""

from __future__ import annotations

import time
from collections.abc import Mapping

from thalweg.integrations.optional import needed
from thalweg.watching.writing import Level


class MLflowWriter:
    """Logs scalars as metrics, and alerts as tags (``thalweg.error``, ``thalweg.warn.2``).

    By default into a run of its own. The run that MLflow calls active is neither asked for nor
    changed.

    Args:
        run_id: The run to log into; it is left open at the end.
        experiment: The experiment of a run of its own; it is made if there is none.
        tracking_uri: Where MLflow keeps runs; as MLflow is set up by default.

    Raises:
        ImportError: MLflow is not installed.
    """

    def __init__(
        self,
        run_id: str | None = None,
        *,
        experiment: str = "thalweg",
        tracking_uri: str | None = None,
    ) -> None:
        library = needed("mlflow", "MLflowWriter()", "mlflow")
        self._client = library.MlflowClient(tracking_uri)
        self._metric = library.entities.Metric
        self._is_own = run_id is None
        self.run_id = run_id or self._new_run(experiment)
        self._alerts: list[str] = []

    def _new_run(self, experiment: str) -> str:
        found = self._client.get_experiment_by_name(experiment)
        place = found.experiment_id if found else self._client.create_experiment(experiment)
        return str(self._client.create_run(place, run_name="watched").info.run_id)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log a batch of metrics."""
        now = int(time.time() * 1000)
        metrics = [self._metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self.run_id, metrics=metrics)

    def alert(self, title: str, text: str, level: Level, step: int) -> None:
        """Set a tag: MLflow has no alerts."""
        self._alerts.append(level)
        count = self._alerts.count(level)
        key = f"thalweg.{level}" + (f".{count}" if count > 1 else "")
        self._client.set_tag(self.run_id, key, f"Step {step}: {title}. {text}")

    def close(self) -> None:
        """End the run, if it is its own."""
        if self._is_own:
            self._client.set_terminated(self.run_id)
