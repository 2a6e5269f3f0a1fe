"""Where to step: one family of directions a file."""
