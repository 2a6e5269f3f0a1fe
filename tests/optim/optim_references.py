"""Each rule once more, from its paper, on one coordinate at a time, in Python's own floats."""

import math

REFERENCES = {}


def reference(name):
    def keep(function):
        REFERENCES[name] = function
        return function

    return keep


@reference("sgd")
def gradient_descent(p, grads, *, lr, momentum, dampening, nesterov):
    """As a closed sum instead of a recursion: b_t = mu^(t-1) g_1 + (1 - tau) sum mu^(t-i) g_i."""
    for t in range(1, len(grads) + 1):
        weights = [
            momentum ** (t - i) * (1 if i == 1 or not momentum else 1 - dampening)
            for i in range(1, t + 1)
        ]
        b = math.fsum(w * g for w, g in zip(weights, grads, strict=False))
        p -= lr * (grads[t - 1] + momentum * b if nesterov else b)
    return p


@reference("adam")
def adam(p, grads, *, lr, betas, eps, amsgrad):
    """Kingma & Ba, algorithm 1, with the averages as the weighted sums of their equation 3."""
    b1, b2 = betas
    largest = 0.0
    for t in range(1, len(grads) + 1):
        m = (1 - b1) * math.fsum(b1 ** (t - i) * grads[i - 1] for i in range(1, t + 1))
        v = (1 - b2) * math.fsum(b2 ** (t - i) * grads[i - 1] ** 2 for i in range(1, t + 1))
        largest = max(largest, v)
        m_hat, v_hat = m / (1 - b1**t), (largest if amsgrad else v) / (1 - b2**t)
        p -= lr * m_hat / (math.sqrt(v_hat) + eps)
    return p
