"""The courses' look-ahead form, with its velocity; the parameter is the look-ahead point."""

VALUES = {"momentum": (0.0, 0.9, 0.5)}
ACTIVE = {"momentum": 0.9}
BOWL = {"momentum": 0.3}


def reference(p, grads, *, lr, momentum):
    """Sutskever et al., equations 3 and 4, with the gradient that was found ahead."""
    point, velocity = p, 0.0
    for g in grads:
        velocity = momentum * velocity - lr * g
        point += velocity
    return point + momentum * velocity
