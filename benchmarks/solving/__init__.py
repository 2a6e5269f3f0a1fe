"""What `benchmarks/methods.py` is made of.

peers         which other libraries take part
minimizers    ours and theirs behind one call, as they come and with their stopping rules off
watched       a problem that counts its evaluations and notes when it was solved
s2mpj         the problems of CUTEst
nets          networks that are trained on all their data, to a target loss

The rows, one to a file, each with a function `measure`:

line_searches  More and Thuente's 24 published cases
cutest         who solves how many of CUTEst's small unconstrained problems
more_garbow_hillstrom  whose minima of their 35 sums of squares are found
maxent         the problem that scipy's tests count evaluations on
saddles        what is said at saddle points, and at minima
full_batch     networks trained on all their data to a target loss, in gradients
arithmetic     the seconds of a step of L-BFGS that are not the loss's
kronecker      K-FAC's figures against its definition and the dense Fisher
"""
