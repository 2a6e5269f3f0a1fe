"""What is measured at a step in full while it can still be replayed.

* ``critical``: the critical rate along the actual update, by forward passes alone.
* ``curvature``: the ends of the Hessian's spectrum, what kind of point it is, and the conditioning
  weighted by what is still to be gained, at a few steps.
* ``through_time``: how much of the gradient reaches the first element of a sequence.
* ``terms``: what is added to the data's own loss, and how much of the data is explained under it.
* ``noise``: how much of the minibatch gradient is noise, and what the update does to other batches.
"""

from thalweg.obstacles.probes.curvature import curvature
from thalweg.obstacles.probes.noise import noise
from thalweg.obstacles.probes.stretching import critical
from thalweg.obstacles.probes.terms import terms
from thalweg.obstacles.probes.through_time import through_time

PROBES = (critical, curvature, through_time, terms, noise)

__all__ = ["PROBES", "critical", "curvature", "noise", "terms", "through_time"]
