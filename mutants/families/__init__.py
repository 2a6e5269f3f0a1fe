"""The mutants, a file for each part of the optimizers, methods and training."""

from mutants.families import (
    adam,
    averages,
    companions,
    declarations,
    descent,
    fitting,
    landscapes,
    lanes,
    matrices,
    minimize,
    native,
    normalization,
    options,
    programs,
    pruning,
    regularization,
    squares,
    successors,
    surrogates,
    wrappers,
)

FAMILIES = {
    module.__name__.rpartition(".")[2]: module.MUTANTS
    for module in (
        *(descent, squares, adam, successors, matrices),
        *(wrappers, averages, companions),
        *(lanes, programs, native, options, declarations),
        *(minimize, landscapes),
        *(regularization, normalization, fitting, surrogates, pruning),
    )
}
