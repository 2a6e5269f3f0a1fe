"""Which tests a family's mutants are shown to."""

OPTIM = "tests/optim/"


def optim(*names: str) -> tuple[str, ...]:
    """Files of the tests of optimizers, or tests in them: `"sparse"`, `"rules::test_..."`."""
    words = (name.partition("::") for name in names)
    return tuple(f"{OPTIM}test_{file}.py{sep}{test}" for file, sep, test in words)


def reference(*names: str) -> tuple[str, ...]:
    """That rules equal their references."""
    return optim(*(f"rules::test_rules_match_their_references[{name}]" for name in names))


def bits(name: str) -> tuple[str, ...]:
    """That a class has PyTorch's bits under every combination of its settings, in float32."""
    return optim(f"torch_exchange::test_every_combination_has_pytorchs_bits[dtype0-{name}]")
