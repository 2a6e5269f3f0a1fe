"""Takes a few steps, then fails for a reason of its own."""

import torch


def main():
    weight = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    for step in range(5):
        optimizer.zero_grad()
        loss = (weight - 1).square().sum()
        loss.backward()
        optimizer.step()
        print("step", step, flush=True)
    raise RuntimeError("the data set ends here")


main()
