"""Train a small CNN on MNIST to more than 98 % on the test split: `python train.py`."""

import torch
from torch import nn

import mnist_idx

torch.manual_seed(0)
images, labels = map(torch.from_numpy, mnist_idx.load_arrays("mnist_idx", split="train"))
test_images, test_labels = map(torch.from_numpy, mnist_idx.load_arrays("mnist_idx", split="test"))
convolutions = (
    nn.Conv2d(1, 16, 5, stride=2),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3),
    nn.ReLU(),
    nn.MaxPool2d(2),
)
model = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(800, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

for epoch in range(1, 4):
    for batch in torch.randperm(len(images)).split(128):
        optimizer.zero_grad()
        nn.functional.cross_entropy(
            model(images[batch, None] / 255), labels[batch].long()
        ).backward()
        optimizer.step()
    with torch.no_grad():
        accuracy = (model(test_images[:, None] / 255).argmax(1) == test_labels).float().mean()
    print(f"epoch {epoch}: {accuracy:.2%} of the test split right")
