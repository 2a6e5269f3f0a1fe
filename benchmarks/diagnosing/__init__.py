"""The rows of the benchmark of diagnoses: what is named, how surely, at what cost, and repaired."""
