"""The forms that a rule can be run in, and what they need.

lanes      which parameters can share a call, and where their state stands
scalars    a formula with its scalar state filled in
whole      `each` and `together`: the formula on whole tensors; `batch` holds the lists
vectors    parameters and their state as vectors, small ones joined
joined     a lane advanced as vectors, for the other two
listed     ... or as lists, where the formula is a single operation
program    a formula written down as its operations
recipes    programs that are kept; `numbers` computes theirs from the hyperparameters
blocks     a program piece by piece, in the processor's cache
crew       threads that share the pieces
compiled   a program as one pass over the memory:
native     ... by the machine's C compiler, on any number of tensors at once
translation ... which is given this source
toolchain  ... and makes a library of it, kept for later processes
standins   what takes the place of a parameter that cannot be stepped as it stands:
sharded    ... of one of which every process holds a part
rows       ... of one with a sparse gradient
recorded   steps that autograd records
"""
