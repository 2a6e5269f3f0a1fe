"""The switches that PyTorch's loaders want in a group, for each family of its optimizers."""

from thalweg.optim.classes.making import FLAGS

CAPTURABLE = {**FLAGS, "capturable": False}
UNFUSED = {key: value for key, value in CAPTURABLE.items() if key != "fused"}
