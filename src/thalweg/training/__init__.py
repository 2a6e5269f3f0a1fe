"""The lectures' training system: empirical risk minimized by a surrogate, and what mends it."""
