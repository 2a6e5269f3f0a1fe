"""What `benchmarks/curvature.py` is made of.

networks      the models that products are taken of, and how a small one is trained
peers         other libraries' products, behind one call
reference     dense matrices and spectra that nobody's products were used for

The rows, one to a file, each with a function `measure`:

exactness     products against the dense Hessian, with a last batch that is shorter
flops         what a product costs in multiplications
clock         what a product costs by the clock
demanding     attention, normalization, dropout, unused, tied and frozen parameters
extremal      the largest and smallest eigenvalues, in products
certificates  negative curvature proved, and whether the bounds hold
traces        the trace from 99 products, and whether its intervals hold
densities     the spectral density from equal products
divergence    the learning rate at which gradient descent diverges, predicted and measured
memory        what a hundred steps of Lanczos on 25 million parameters hold
"""
