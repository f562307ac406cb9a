"""The relatives of MNIST: what is known of them is well formed, and archives of their layout are read.

The data sets themselves cannot be fetched here: stand-ins of the same layout, with the digests of their own, take their
place on a server.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import datasets
import numpy as np
import pytest
from datasets import load_dataset
from idx_files import from_idx, random_images, to_idx, write_archive

from mnist_idx import IdxError, load_arrays, write_idx
from mnist_idx.sources import DATA_SETS, RELATIVES, File, Source

EMNIST = [name for name in RELATIVES if name.startswith("emnist")]
# From the publications of each: (train, test, classes).
COUNTS = {
    "fashion_mnist": (60_000, 10_000, 10),
    "kmnist": (60_000, 10_000, 10),
    "qmnist": (60_000, 60_000, 10),
    "emnist_byclass": (697_932, 116_323, 62),
    "emnist_bymerge": (697_932, 116_323, 47),
    "emnist_balanced": (112_800, 18_800, 47),
    "emnist_letters": (124_800, 20_800, 26),
    "emnist_digits": (240_000, 40_000, 10),
    "emnist_mnist": (60_000, 10_000, 10),
}
# Records of the stand-ins.
TRAIN, TEST = 60, 20


def files_of(name):
    return [file for split in RELATIVES[name].splits.values() for file in (split.images, split.labels)]


# --- what is known -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RELATIVES)
def test_facts_are_well_formed(name):
    known = RELATIVES[name]
    train, test, classes = COUNTS[name]
    assert {split: found.num_records for split, found in known.splits.items()} == {"train": train, "test": test}
    assert len(known.label_names) - known.label_names.count("N/A") == classes
    assert len(set(known.label_names)) == len(known.label_names)
    assert known.description
    assert known.license
    assert known.citation.startswith("@")
    assert known.citation.count("{") == known.citation.count("}")
    for file in files_of(name):
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", file.packed)
        # Images do not pack to less than a tenth, labels not to more than a byte each (or the 8 parts of QMNIST's).
        records = train if "train" in file.name else test
        assert records // 4000 < file.packed_size < records * 784
    if not known.sources[0].url.endswith(".zip"):
        assert known.sources[0].size == sum(file.packed_size for file in files_of(name))
    else:
        assert known.sources[0].size > sum(file.packed_size for file in files_of(name))


def test_no_file_has_the_digest_of_another():
    files = [
        file
        for name in DATA_SETS
        for file in ([f for s in DATA_SETS[name].splits.values() for f in (s.images, s.labels)])
    ]
    assert len({file.packed for file in files}) == len(files)
    names = [file.name for name in EMNIST for file in files_of(name)]
    assert len(set(names)) == len(names) == 24
    # All 24 and their mappings are in the one archive, stored or deflated: packed files do not shrink further.
    assert 0 <= 561_753_746 - sum(file.packed_size for name in EMNIST for file in files_of(name)) < 1_000_000


def test_every_relative_is_a_config():
    assert set(RELATIVES) <= set(datasets.get_dataset_config_names("mnist_idx"))
    for name, known in RELATIVES.items():
        info = datasets.get_dataset_config_info("mnist_idx", name)
        assert info.features["label"].names == list(known.label_names)
        assert {split: found.num_examples for split, found in info.splits.items()} == dict(
            zip(("train", "test"), COUNTS[name][:2], strict=True)
        )
        assert info.license == known.license
        assert info.citation == known.citation
        assert info.homepage == known.homepage
        assert info.download_size == known.sources[0].size


# --- stand-ins -----------------------------------------------------------------------------------------------------


def stand_in_arrays(name, split):
    """Records of the same kind: (images as stored, labels)."""
    count, seed = (TRAIN, 1) if split == "train" else (TEST, 2)
    known = RELATIVES[name]
    random = np.random.default_rng(seed)
    low = 1 if known.label_names[0] == "N/A" else 0
    labels = random.integers(low, len(known.label_names), count).astype(np.uint8)
    if known.label_parts > 1:
        labels = np.column_stack([labels, random.integers(0, 280_000, (count, known.label_parts - 1))]).astype(np.int32)
    return random_images(count, 28, 28, seed=seed), labels


def stand_in_files(name):
    """Published name with its ending -> content."""
    files = {}
    for split, facts in RELATIVES[name].splits.items():
        for file, array in zip((facts.images, facts.labels), stand_in_arrays(name, split), strict=True):
            files[f"{file.name}.gz"] = gzip.compress(to_idx(array), mtime=0)
    return files


def renew(file: File, content: bytes) -> File:
    return file._replace(packed_size=len(content), packed=f"sha256:{hashlib.sha256(content).hexdigest()}")


@pytest.fixture
def publish(serve, monkeypatch, tmp_path):
    """Serve a stand-in for a relative and let the package know its address, counts and digests."""

    def publish(name, changed=None, form="deflated.zip"):
        known = RELATIVES[name]
        files = stand_in_files(name)
        splits = {}
        for split, facts in known.splits.items():
            images, labels = (renew(file, files[f"{file.name}.gz"]) for file in (facts.images, facts.labels))
            splits[split] = facts._replace(
                images=images, labels=labels, num_records=TRAIN if split == "train" else TEST
            )
        files |= changed or {}
        if known.sources[0].url.endswith(".zip"):
            mapping = {"gzip/emnist-letters-mapping.txt": b"1 65 97\n"}
            others = {f"gzip/{n}": c for other in EMNIST[:3] if other != name for n, c in stand_in_files(other).items()}
            archive = write_archive(tmp_path / form, mapping | others | {f"gzip/{n}": c for n, c in files.items()})
            server = serve({"/gzip.zip": archive})
            sources = (Source(server.url("/gzip.zip"), archive.stat().st_size),)
        else:
            server = serve({f"/set/{n}": content for n, content in files.items()})
            sources = (Source(server.url("/set/"), sum(map(len, files.values()))),)
        stand_in = known._replace(splits=splits, sources=sources)
        monkeypatch.setitem(RELATIVES, name, stand_in)
        monkeypatch.setitem(DATA_SETS, name, stand_in)
        return server, files

    return publish


def check(data, name):
    known = RELATIVES[name]
    assert list(data) == ["train", "test"]
    for split, rows in data.items():
        images, labels = stand_in_arrays(name, split)
        if known.transposed:
            images = images.swapaxes(1, 2)
        rows = list(rows)
        assert len(rows) == len(images)
        for row, image, label in zip(rows, images, labels, strict=True):
            np.testing.assert_array_equal(np.asarray(row["image"]), image)
            assert [row["label"], *row.get("label_details", [])] == np.atleast_1d(label).tolist()


@pytest.mark.parametrize("name", RELATIVES)
def test_archives_of_the_same_layout(publish, name, tmp_path):
    publish(name)
    check(load_dataset("mnist_idx", name, cache_dir=str(tmp_path / "cache")), name)
    check(load_dataset("mnist_idx", name, cache_dir=str(tmp_path / "cache"), streaming=True), name)
    images, labels = load_arrays("test", config_name=name, streaming=True)
    stored, classes = stand_in_arrays(name, "test")
    np.testing.assert_array_equal(images, stored.swapaxes(1, 2) if RELATIVES[name].transposed else stored)
    np.testing.assert_array_equal(labels, classes)


@pytest.mark.parametrize("name", ["qmnist", "emnist_letters"])
def test_options_work_as_for_mnist(publish, name, tmp_path):
    publish(name)
    options = {"num_samples": 7, "seed": 3, "sampling": "uniform", "as_array": True}
    data = load_dataset("mnist_idx", name, cache_dir=str(tmp_path / "cache"), num_proc=2, **options)
    streamed = load_dataset("mnist_idx", name, streaming=True, num_shards=3, **options)
    for split in data:
        assert len(data[split]) == 7
        assert [row["label"] for row in data[split]] == [row["label"] for row in streamed[split]]


def test_emnist_is_turned_unless_asked_not_to(publish, tmp_path):
    publish("emnist_digits")
    stored, _ = stand_in_arrays("emnist_digits", "test")
    as_stored = load_dataset("mnist_idx", "emnist_digits", split="test", streaming=True, transpose=False)
    for row, image in zip(as_stored, stored, strict=True):
        np.testing.assert_array_equal(np.asarray(row["image"]), image)


@pytest.mark.parametrize("form", ["stored.zip", "deflated.zip"])
@pytest.mark.parametrize("streaming", [False, True])
def test_emnist_is_verified_inside_its_archive(publish, tmp_path, form, streaming):
    """The digest is that of the packed member, whether the archive packs it again or not."""
    name = "emnist-mnist-train-images-idx3-ubyte.gz"
    changed = bytearray(stand_in_files("emnist_mnist")[name])
    changed[5] ^= 1  # the time in the header of gzip: the same images, but not the published file
    publish("emnist_mnist", changed={name: bytes(changed)}, form=form)

    def read():
        data = load_dataset("mnist_idx", "emnist_mnist", cache_dir=str(tmp_path / "cache"), streaming=streaming)
        return [list(rows) for rows in data.values()]

    with pytest.raises(IdxError, match=r"emnist-mnist-train-images.*not the published one"):
        read()


def test_streaming_emnist_fetches_only_its_members(publish):
    server, files = publish("emnist_mnist", form="stored.zip")
    list(load_dataset("mnist_idx", "emnist_mnist", split="test", streaming=True))
    wanted = sum(len(content) for name, content in files.items() if "test" in name)
    assert server.sent("/gzip.zip") < wanted + 200_000


def test_a_copy_is_verified_like_the_original(publish, tmp_path):
    _, files = publish("kmnist")
    folder = write_archive(tmp_path / "copy", files)
    check(load_dataset("mnist_idx", "kmnist", data_dir=str(folder), cache_dir=str(tmp_path / "cache")), "kmnist")
    check(load_dataset("mnist_idx", "kmnist", data_dir=str(folder), streaming=True), "kmnist")
    tar = write_archive(tmp_path / "copy.tar", files)
    check(load_dataset("mnist_idx", "kmnist", data_dir=str(tar), streaming=True), "kmnist")
    content = bytearray((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
    content[5] ^= 1
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(content)
    with pytest.raises(IdxError, match=r"t10k-labels.*not the published one"):
        load_dataset("mnist_idx", "kmnist", data_dir=str(folder), cache_dir=str(tmp_path / "again"))


def test_a_set_that_cannot_be_had_says_how_else(publish, tmp_path, monkeypatch):
    server, _ = publish("fashion_mnist")
    for path in stand_in_files("fashion_mnist"):
        server.behave(f"/set/{path}", status=404)
    with pytest.raises(IdxError, match=r"(?s)fashion_mnist can be used.*404.*data_dir=") as error:
        load_dataset("mnist_idx", "fashion_mnist", cache_dir=str(tmp_path / "cache"))
    assert "MNIST_IDX_MIRROR" not in str(error.value), "the mirror is MNIST's"


def test_what_we_write_of_a_relative_is_what_it_was(publish, tmp_path):
    """QMNIST with all parts of its labels, EMNIST as it was stored."""
    for name in ("qmnist", "emnist_letters"):
        publish(name)
        source = {
            split: load_arrays(split, config_name=name, streaming=True, transpose=False) for split in ("train", "test")
        }
        write_idx(source, tmp_path / name)
        for split, prefix in (("train", "train"), ("test", "t10k")):
            for path in Path(tmp_path / name).glob(f"{prefix}-*"):
                role = 0 if "images" in path.name else 1
                found = from_idx(gzip.decompress(path.read_bytes()))
                np.testing.assert_array_equal(found, stand_in_arrays(name, split)[role])
