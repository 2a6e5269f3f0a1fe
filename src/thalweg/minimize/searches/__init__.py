"""How far to go: searches along a line."""

from thalweg.minimize.searches.strong_wolfe import StrongWolfe

__all__ = ["StrongWolfe"]
