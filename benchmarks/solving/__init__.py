"""What `benchmarks/methods.py` is made of.

peers         other libraries' minimizers, as shipped and with their own stopping rules off
watched       a problem that counts its evaluations and notes when it was solved

nets          networks that are trained on all their data, to a target loss

The rows, one to a file, each with a function `measure`:

line_searches  More and Thuente's 24 published cases
full_batch     networks trained on all their data to a target loss, in gradients
arithmetic     the seconds of a step of L-BFGS that are not the loss's
kronecker      K-FAC's figures against its definition and the dense Fisher
"""
