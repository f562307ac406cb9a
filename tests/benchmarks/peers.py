"""What people use instead: functions that `timed.py` calls, each in a process of its own.

Each imports the library that it is about, which `timed.py` has imported before the clock starts.
"""

import gzip
import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from figures import FILES, RECORDS
from floors import FEATURES, read_idx
from mnist_files import IMAGES, LABELS, MEMBERS
from PIL import Image


class Stock(datasets.GeneratorBasedBuilder):
    """A loading script as they are usually written.

    It has `iter_archive`, and an example at a time with a NumPy image.
    """

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=FEATURES)

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        archive = dl_manager.iter_archive(dl_manager.download(self.config.data_dir))
        generators = []
        for split, members in MEMBERS.items():
            arguments = {"members": members, "archive": archive}
            generators.append(datasets.SplitGenerator(split, arguments))
        return generators

    def _generate_examples(
        self, members: tuple[str, str], archive: Any
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        content = {name: gzip.decompress(file.read()) for name, file in archive if name in members}
        images = np.frombuffer(content[members[0]], np.uint8, offset=16).reshape(-1, 28, 28)
        labels = np.frombuffer(content[members[1]], np.uint8, offset=8)
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield number, {"image": image, "label": label}


def prepare_stock(archive: str) -> int:
    builder = Stock(data_dir=archive)
    builder.download_and_prepare()
    return sum(split.num_rows for split in builder.as_dataset().values())


# Arrays


def opened(archive: str) -> list[gzip.GzipFile]:
    """The images and labels of the train split."""
    files = []
    with tarfile.open(archive) as tar:
        for name in MEMBERS["train"]:
            content = tar.extractfile(name).read()
            files.append(gzip.open(io.BytesIO(content)))
    return files


def arrays_idx2numpy(archive: str) -> int:
    import idx2numpy

    images, labels = map(idx2numpy.convert_from_file, opened(archive))
    return min(len(images), len(labels))


def arrays_plain(archive: str) -> int:
    pixels, classes = (file.read() for file in opened(archive))
    images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 28, 28).copy()
    labels = np.frombuffer(classes, np.uint8, offset=8).copy()
    return min(len(images), len(labels))


def arrays_torchvision(root: str) -> int:
    from torchvision.datasets import MNIST

    data = MNIST(root, train=True)
    return min(len(data.data), len(data.targets))


def save_pictures(path: str) -> dict[str, float]:
    """Encode the images of an IDX file with Pillow, as `datasets` does."""
    images = read_idx(path)
    num_bytes = 0
    for image in images:
        file = io.BytesIO()
        Image.fromarray(np.asarray(image)).save(file, format="PNG")
        num_bytes += len(file.getvalue())
    return {RECORDS: len(images), FILES: num_bytes / 1e6}


# An epoch: load the train split from what is on the disk, and hand out its records once, in batches
# of images and labels


def count_pairs(batches: Iterable[tuple[Any, Any]]) -> int:
    """How many records batches of images and labels have."""
    return sum(min(len(images), len(labels)) for images, labels in batches)


def count_rows(batches: Iterable[dict[str, Any]]) -> int:
    """The same for batches by column."""
    return count_pairs((batch["image"], batch["label"]) for batch in batches)


def epoch_idx2numpy(folder: str, batch: int, shuffled: bool) -> int:
    import idx2numpy

    images = idx2numpy.convert_from_file(f"{folder}/{IMAGES}")
    labels = idx2numpy.convert_from_file(f"{folder}/{LABELS}")
    order = np.arange(len(images))
    if shuffled:
        order = np.random.default_rng(0).permutation(len(images))
    batches = np.split(order, range(batch, len(order), batch))
    return count_pairs((images[chosen], labels[chosen]) for chosen in batches)


def epoch_torchvision(root: str, batch: int, shuffled: bool) -> int:
    from torch.utils.data import DataLoader
    from torchvision.datasets import MNIST
    from torchvision.transforms import ToTensor

    data = MNIST(root, train=True, transform=ToTensor())
    return count_pairs(DataLoader(data, batch_size=batch, shuffle=shuffled))


def epoch_parquet(file: str, batch: int, shuffled: bool, streaming: bool) -> int:
    data = datasets.load_dataset("parquet", data_files=file, split="train", streaming=streaming)
    if shuffled and streaming:
        data = data.shuffle(seed=0, buffer_size=1000)
    elif shuffled:
        data = data.shuffle(seed=0)
    return count_rows(data.with_format("numpy").iter(batch))


def epoch_webdataset(folder: str, batch: int, shuffled: bool) -> int:
    import webdataset

    shards = sorted(map(str, Path(folder).glob("*.tar")))
    data = webdataset.WebDataset(shards, shardshuffle=len(shards) if shuffled else False)
    if shuffled:
        data = data.shuffle(1000)
    return count_pairs(data.decode("l8").to_tuple("png", "cls").batched(batch))


def epoch_litdata(folder: str, batch: int, shuffled: bool) -> int:
    import litdata

    data = litdata.StreamingDataset(folder, shuffle=shuffled)
    return count_rows(litdata.StreamingDataLoader(data, batch_size=batch))
