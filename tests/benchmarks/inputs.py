"""Makes the files that comparisons read: functions that `timed.py` calls.

Each makes a folder or a file at `target`.
"""

import gzip
import io
import os
import shutil
import struct
import tarfile
from pathlib import Path

import datasets
import numpy as np
from floors import FEATURES, read_idx
from mnist_files import IMAGES, LABELS, MEMBERS
from PIL import Image
from zlib_ng import gzip_ng

AT_ONCE = 60_000  # records
SMOOTH_SIDE = 8  # of the random picture that natural ones are enlarged from
NOISE = 4  # the standard deviation, of 255


def write_header(file: io.BufferedWriter, shape: tuple[int, ...]) -> None:
    file.write(struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape))


def unpack(archive: str, target: str) -> None:
    """Unpack MNIST: TARGET/gzip has its files, TARGET/MNIST/raw the same without compression.

    The second is where torchvision looks for them.
    """
    compressed, raw = Path(target, "gzip"), Path(target, "MNIST", "raw")
    compressed.mkdir(parents=True)
    raw.mkdir(parents=True)
    with tarfile.open(archive) as tar:
        for name in [*MEMBERS["train"], *MEMBERS["test"]]:
            content = tar.extractfile(name).read()
            file = compressed / os.path.basename(name)
            file.write_bytes(content)
            (raw / file.stem).write_bytes(gzip.decompress(content))


def make_parquet(archive: str, target: str) -> None:
    """The dataset as the Hub has it: PNG made by Pillow, in Parquet files made by `datasets`."""
    Path(target).mkdir()
    with tarfile.open(archive) as tar:
        for split, members in MEMBERS.items():
            pixels, classes = (gzip.decompress(tar.extractfile(name).read()) for name in members)
            images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 28, 28)
            labels = np.frombuffer(classes, np.uint8, offset=8)
            columns = {"image": [encode(image) for image in images], "label": labels}
            data = datasets.Dataset.from_dict(columns, features=FEATURES)
            data.to_parquet(f"{target}/{split}.parquet")


def encode(image: np.ndarray) -> dict[str, object]:
    """A PNG file as a column of pictures has it."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return {"bytes": file.getvalue(), "path": None}


def make_digits(source: str, target: str, parquet: str, records: int) -> None:
    """The first records of the train split: TARGET/MNIST/raw and TARGET/digits.parquet.

    The test split is whole: torchvision wants it beside the other.
    """
    raw = Path(target, "MNIST", "raw")
    raw.mkdir(parents=True)
    for path in Path(source).iterdir():
        values = read_idx(str(path))
        count = records if path.name in (IMAGES, LABELS) else len(values)
        with open(raw / path.name, "wb") as file:
            write_header(file, (count, *values.shape[1:]))
            file.write(values[:count].tobytes())
    part = f"train[:{records}]"
    data = datasets.load_dataset("parquet", data_files=parquet, split=part)
    data.to_parquet(f"{target}/digits.parquet")


def make_raw(source: str, target: str, records: int) -> None:
    """Raw files of so many records: those of MNIST over and over, each with its number in it."""
    images, labels = read_idx(f"{source}/{IMAGES}"), read_idx(f"{source}/{LABELS}")
    Path(target).mkdir()
    with (
        open(f"{target}/{IMAGES}", "wb") as image_file,
        open(f"{target}/{LABELS}", "wb") as label_file,
    ):
        write_header(image_file, (records, *images.shape[1:]))
        write_header(label_file, (records,))
        for start in range(0, records, AT_ONCE):
            numbers = np.arange(start, min(records, start + AT_ONCE))
            numbered = images[numbers % len(images)]
            in_corner = numbers.astype(">u4").view(np.uint8).reshape(-1, 4)
            numbered[:, 0, :4] = in_corner
            image_file.write(numbered.tobytes())
            label_file.write(labels[numbers % len(labels)].tobytes())


def compress(source: str, target: str) -> None:
    """Compress the files of a folder with gzip."""
    Path(target).mkdir()
    for path in Path(source).iterdir():
        compressed = f"{target}/{path.name}.gz"
        with open(path, "rb") as file, gzip_ng.open(compressed, "wb", 1) as content:
            shutil.copyfileobj(file, content, 1 << 20)


def make_large(target: str, count: int, side: int) -> None:
    """Gray images of noise, with their numbers."""
    image = np.random.default_rng(0).integers(0, 256, (side, side), np.uint8)
    Path(target).mkdir()
    with open(f"{target}/{IMAGES}", "wb") as file:
        write_header(file, (count, side, side))
        for number in range(count):
            image[0, :4] = np.array([number], ">u4").view(np.uint8)
            file.write(image.tobytes())


def make_pictures(target: str, count: int, side: int) -> None:
    """RGB images like photographs: smooth, with some noise."""
    random = np.random.default_rng(0)
    with open(target, "wb") as file:
        write_header(file, (count, side, side, 3))
        for _ in range(count):
            small = random.integers(0, 256, (SMOOTH_SIDE, SMOOTH_SIDE, 3), np.uint8)
            smooth = Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)
            noisy = np.asarray(smooth) + random.normal(0, NOISE, (side, side, 3))
            file.write(noisy.clip(0, 255).astype(np.uint8).tobytes())


def save_datasets(source: str, target: str) -> None:
    """Raw files as the package prepares them, saved: TARGET/images and TARGET/arrays."""
    from mnist_idx import IdxFolder

    files = {"train": [f"{source}/{IMAGES}", f"{source}/{LABELS}"]}
    for name, as_array in (("images", False), ("arrays", True)):
        builder = IdxFolder(data_files=files, as_array=as_array)
        builder.download_and_prepare()
        builder.as_dataset("train").save_to_disk(f"{target}/{name}")


def make_webdataset(parquet: str, target: str) -> None:
    """Tars of PNG files and classes, 10,000 records in each."""
    import webdataset

    Path(target).mkdir()
    data = datasets.load_dataset("parquet", data_files=parquet, split="train")
    data = data.cast_column("image", datasets.Image(decode=False))
    with webdataset.ShardWriter(f"{target}/%05d.tar", maxcount=10_000) as writer:
        for number, row in enumerate(data):
            png = row["image"]["bytes"]
            writer.write({"__key__": f"{number:08}", "png": png, "cls": str(row["label"]).encode()})


def make_litdata(raw: str, target: str) -> None:
    """Chunks of 64 MB, as `litdata.optimize` makes them."""
    import litdata

    images, labels = read_idx(f"{raw}/{IMAGES}"), read_idx(f"{raw}/{LABELS}")
    make_record = RecordMaker(images, labels)
    numbers = list(range(len(images)))
    litdata.optimize(make_record, numbers, target, chunk_bytes="64MB", num_workers=1)


class RecordMaker:
    """What `litdata.optimize` calls in its worker."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self._images, self._labels = images, labels

    def __call__(self, number: int) -> dict[str, object]:
        return {"image": np.array(self._images[number]), "label": int(self._labels[number])}
