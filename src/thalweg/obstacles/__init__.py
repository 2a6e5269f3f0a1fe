"""Naming: what can hold training back, one file per cause, named by its code."""
