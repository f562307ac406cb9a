"""Train a small CNN on MNIST to more than 98 % on the test split.

    python -m mnist_idx.examples.train

All records are in memory, and each epoch shuffles their numbers: the fastest way for data that
fits. It needs PyTorch.
"""

import torch
from torch import nn

import mnist_idx

EPOCHS, BATCH_SIZE = 3, 128


def load(split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The images of a split, from 0 to 1, and their labels."""
    images, labels = mnist_idx.load_arrays("mnist_idx", split=split)
    return torch.from_numpy(images)[:, None] / 255, torch.from_numpy(labels).long()


def make_model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(800, 10),
    )


def main() -> None:
    torch.manual_seed(0)
    images, labels = load("train")
    test_images, test_labels = load("test")
    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(1, EPOCHS + 1):
        for batch in torch.randperm(len(images)).split(BATCH_SIZE):
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            is_right = model(test_images).argmax(1) == test_labels
        print(f"epoch {epoch}: {is_right.float().mean():.2%} of the test split right", flush=True)


if __name__ == "__main__":
    main()
