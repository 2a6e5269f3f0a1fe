"""Which tests a family's mutants are shown to."""

OPTIM = "tests/optim/"


def optim(*names: str) -> tuple[str, ...]:
    """Files of the tests of optimizers, or tests in them: `"sparse"`, `"rules::test_..."`."""
    words = (name.partition("::") for name in names)
    return tuple(f"{OPTIM}test_{file}.py{sep}{test}" for file, sep, test in words)


def minimize(*names: str) -> tuple[str, ...]:
    """Files of the tests of methods, or tests in them."""
    words = (name.partition("::") for name in names)
    return tuple(f"tests/minimize/test_{file}.py{sep}{test}" for file, sep, test in words)


def training(*names: str) -> tuple[str, ...]:
    """Files of the tests of training, or tests in them."""
    words = (name.partition("::") for name in names)
    return tuple(f"tests/training/test_{file}.py{sep}{test}" for file, sep, test in words)


def reference(*names: str) -> tuple[str, ...]:
    """That rules equal their references."""
    return optim(*(f"rules::test_rules_match_their_references[{name}]" for name in names))


def bits(name: str) -> tuple[str, ...]:
    """That a class has PyTorch's bits under every combination of its settings, in float32."""
    return optim(f"torch_exchange::test_every_combination_has_pytorchs_bits[dtype0-{name}]")


# The quick tests of the forms first, and that they agree for every rule.
FORMS = optim(
    "programs",
    "recipes",
    "forms::test_blocks_overwrite_nothing_that_is_needed",
    "forms::test_blocks_need_no_more_scratch_than_pytorch_written_by_hand",
    "forms::test_numbers_are_no_part_of_a_program",
    "forms::test_a_result_may_be_an_old_input",
    "forms::test_the_layout_of_memory_does_not_matter",
    "forms::test_complex_parameters_are_pairs_of_reals",
    "forms::test_what_stands_for_a_tensor_has_its_arithmetic",
    "forms::test_types_in_one_group_go_apart",
    "forms::test_small_parameters_fill_more_than_one_vector",
    "forms::test_what_lies_between_parameters_is_left_alone",
    "forms::test_a_tensor_without_gaps_is_a_vector_in_the_order_of_memory",
    "forms::test_forms_agree_bit_by_bit",
)
