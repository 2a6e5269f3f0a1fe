"""What `benchmarks/step.py` is made of.

architectures   the shapes of four models
contestants     what is compared: PyTorch's optimizers and ours, in every form
peers           the same rules in heavyball, pytorch_optimizer and optax
captured        a step as a CUDA graph
clocks          seconds, bytes, and the machine's own speed
race            contestants taking turns on one model
results         what was measured, and the ratios between it
tables          results as Markdown
aims            what the project wants of the numbers, and where it is missed
"""
