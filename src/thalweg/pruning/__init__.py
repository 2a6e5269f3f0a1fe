"""Pruning: which weights can go, told by the curvature of the loss."""
