"""Thalweg finds what holds a PyTorch training script back, proves it, and mends it."""

__version__ = "0.1.0"
