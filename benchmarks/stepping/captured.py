"""A step recorded once as a CUDA graph and replayed, for optimizers that are `capturable`.

A graph repeats what was recorded, numbers included: one that has frozen the step count is quick and
wrong. So before a captured step enters the race, its replays are compared with steps made afresh.
"""

import torch

from stepping.contestants import Contestant, Model, Stepper, torch_optimizer

WARM_UP, REPLAYS = 3, 4


class Captured(Stepper):
    """A stepper whose step is the replay of a graph."""

    def __init__(self, kind, model, options):
        super().__init__(kind, model, options)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self.optimizer.step()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):  # records, and does not run
            self.optimizer.step()

    def step(self):
        self.graph.replay()


def captured(title, kind, options):
    """The contestant, or None where the class does not take `capturable`."""
    options = {**options, "capturable": True}
    if torch_optimizer(title, kind, options) is None:
        return None

    def start(model):
        _check(kind, options)
        return Captured(kind, model, options)

    return Contestant(title, start)


def _check(kind, options):
    model = Model([torch.ones(8, 8, device="cuda")], [torch.ones(8, 8, device="cuda")], "cuda")
    twin = Model([torch.ones(8, 8, device="cuda")], model.gradients, "cuda")
    graph, plain = Captured(kind, model, options), Stepper(kind, twin, options)
    for _ in range(REPLAYS):
        graph.step()
    for _ in range(WARM_UP + REPLAYS):
        plain.step()
    if not torch.allclose(model.tensors[0], twin.tensors[0]):
        raise RuntimeError("the replayed steps are not the steps: the graph has frozen a number")
