"""Steps within a radius: the minimum of a quadratic model there, exactly or as far as it pays."""

from thalweg.minimize.searches.trust_region.cauchy import Cauchy
from thalweg.minimize.searches.trust_region.dogleg import Dogleg
from thalweg.minimize.searches.trust_region.exact import Exact
from thalweg.minimize.searches.trust_region.radius import (
    first_radius,
    is_accepted,
    next_radius,
    reduction_ratio,
)
from thalweg.minimize.searches.trust_region.region import TrustRegion
from thalweg.minimize.searches.trust_region.steihaug import Steihaug

__all__ = [
    "Cauchy",
    "Dogleg",
    "Exact",
    "Steihaug",
    "TrustRegion",
    "first_radius",
    "is_accepted",
    "next_radius",
    "reduction_ratio",
]
