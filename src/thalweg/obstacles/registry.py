"""The obstacles by their codes, in the order of the vocabulary."""

from __future__ import annotations

from typing import cast

from thalweg.obstacles import (
    ascending,
    class_imbalance,
    dead_units,
    exploding_gradient,
    ill_conditioning,
    initialization_scale,
    learning_rate_too_high,
    learning_rate_too_low,
    loss_output_mismatch,
    low_precision,
    non_finite,
    optimizer_setting,
    output_range,
    over_regularization,
    overfitting,
    saturated_units,
    stale_gradients,
    stopped_too_early,
    symmetric_initialization,
    train_eval_mode,
    unscaled_inputs,
    unscaled_targets,
    unshuffled_data,
    untrained_parameters,
    vanishing_gradient,
)
from thalweg.obstacles.suspicion import Obstacle

OBSTACLES: dict[str, Obstacle] = {
    one.CODE: cast(Obstacle, one)
    for one in (
        learning_rate_too_high,
        learning_rate_too_low,
        ill_conditioning,
        optimizer_setting,
        vanishing_gradient,
        exploding_gradient,
        dead_units,
        saturated_units,
        symmetric_initialization,
        initialization_scale,
        unscaled_inputs,
        unscaled_targets,
        unshuffled_data,
        class_imbalance,
        loss_output_mismatch,
        output_range,
        stale_gradients,
        untrained_parameters,
        ascending,
        train_eval_mode,
        overfitting,
        over_regularization,
        stopped_too_early,
        non_finite,
        low_precision,
    )
}
