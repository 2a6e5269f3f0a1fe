"""Train under a gradient scaler."""

import torch

weight = torch.nn.Parameter(torch.ones(3))
optimizer = torch.optim.SGD([weight], lr=0.1)
scaler = torch.amp.GradScaler("cpu")
scaler.scale(weight.square().sum()).backward()
scaler.step(optimizer)
print("trained")
