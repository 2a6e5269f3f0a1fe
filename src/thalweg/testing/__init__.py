"""Contract tests for optimizers: what every training loop expects of a `torch.optim.Optimizer`.

    from thalweg.testing import check_optimizer
    print(check_optimizer(torch.optim.AdamW, lr=1e-2))

The optimizer may be anyone's. Each law is one small function in `thalweg.testing.laws`, and `LAWS`
lists them by name. In a test suite, `optimizer_checks` makes a test of each:

    @pytest.mark.parametrize("check", optimizer_checks(MyOptimizer, lr=0.1))
    def test_contract(check):
        check()
"""

from thalweg.testing.checking import OptimizerCheck, check_optimizer, optimizer_checks
from thalweg.testing.contract import LAWS, Law, Outcome
from thalweg.testing.report import ContractBroken, ContractReport

__all__ = [
    "LAWS",
    "ContractBroken",
    "ContractReport",
    "Law",
    "OptimizerCheck",
    "Outcome",
    "check_optimizer",
    "optimizer_checks",
]
