"""The forms that a rule can be run in, and what they need.

lanes      which parameters can share a call, and where their state stands
scalars    a formula with its scalar state filled in
whole      `each` and `together`: the formula on whole tensors; `batch` holds the lists
joined     parameters as vectors, for the other two
program    a formula written down as its operations
blocks     a program piece by piece, in the processor's cache
compiled   a program as one pass over the memory
"""
