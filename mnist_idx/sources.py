"""Where the official data is, and how to know it: addresses, members, counts, digests. Data, no logic.

The digests of the packed MNIST files are the published ones, which torchvision and TensorFlow Datasets check, too;
those of the unpacked files are of their content, so that a copy that is packed differently can be told to be the same.
"""

from __future__ import annotations

from typing import NamedTuple

DIGITS = tuple("0123456789")


class File(NamedTuple):
    """A published IDX file.

    Attributes:
        name: file name, without the ending that tells how it is packed.
        packed_size: bytes of the published, packed file.
        packed: digest of the published, packed file as "algorithm:hex".
        unpacked: digest of the IDX content as "algorithm:hex".
    """

    name: str
    packed_size: int | None = None
    packed: str | None = None
    unpacked: str | None = None


class Split(NamedTuple):
    """A published split: its files, its number of records, and the bytes that its Arrow file takes."""

    images: File
    labels: File
    num_records: int
    num_bytes: int


class Source(NamedTuple):
    """A place that serves a data set.

    Attributes:
        url: address of an archive, or, with a slash at its end, of a folder of the single files; a path without
            protocol is relative to this package.
        ending: what is appended to the names of the single files.
        size: bytes to download.
    """

    url: str
    size: int
    ending: str = ".gz"


class DataSet(NamedTuple):
    """A published data set."""

    description: str
    homepage: str
    license: str
    citation: str
    record_shape: tuple[int, ...]
    label_names: tuple[str, ...]
    splits: dict[str, Split]
    sources: tuple[Source, ...]


MNIST_CITATION = """\
@article{lecun1998gradient,
  title   = {Gradient-based learning applied to document recognition},
  author  = {LeCun, Yann and Bottou, L{\\'e}on and Bengio, Yoshua and Haffner, Patrick},
  journal = {Proceedings of the IEEE},
  volume  = {86},
  number  = {11},
  pages   = {2278--2324},
  year    = {1998},
  doi     = {10.1109/5.726791}
}
"""

MNIST = DataSet(
    description=(
        "The MNIST database of handwritten digits: 70,000 gray images of 28x28 pixels, a digit each, size-normalised "
        "and centred, written by high school students and by employees of the US Census Bureau."
    ),
    homepage="http://yann.lecun.com/exdb/mnist/",
    license="cc-by-sa-3.0",
    citation=MNIST_CITATION,
    record_shape=(28, 28),
    label_names=DIGITS,
    splits={
        "train": Split(
            images=File(
                "train-images-idx3-ubyte",
                9_912_422,
                "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            labels=File(
                "train-labels-idx1-ubyte",
                28_881,
                "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            num_records=60_000,
            num_bytes=17_462_928,
        ),
        "test": Split(
            images=File(
                "t10k-images-idx3-ubyte",
                1_648_877,
                "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            labels=File(
                "t10k-labels-idx1-ubyte",
                4_542,
                "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
            num_records=10_000,
            num_bytes=2_916_109,
        ),
    },
    sources=(
        Source("https://synthase.s3.us-west-2.amazonaws.com/mnist_database.tar", 11_601_920),
        Source("https://ossci-datasets.s3.amazonaws.com/mnist/", 11_594_722),
        Source("https://storage.googleapis.com/cvdf-datasets/mnist/", 11_594_722),
    ),
)

# The first 1,000 train and the first 200 test records of MNIST, in the layout of its archive.
TINY = MNIST._replace(
    description="A miniature of the MNIST database: its first 1,000 train and its first 200 test records.",
    splits={
        "train": Split(
            images=File(
                "train-images-idx3-ubyte",
                161_752,
                "sha256:82147ea4510b80c25bd326778de58a7a13aa3292825949ff4892373dbbb47f98",
                "sha256:386bb018796babeaca208787b77c1b9db39532c4098951ea35f4694e744eb4b7",
            ),
            labels=File(
                "train-labels-idx1-ubyte",
                541,
                "sha256:b388356812b449694bd87f935ed7cb662a128f8c57fe44f1a5421d14f673851b",
                "sha256:895f65588e45d05babf0b5fa7aee2a0d782d8143b40b5764e596df91bc9dddeb",
            ),
            num_records=1_000,
            num_bytes=292_233,
        ),
        "test": Split(
            images=File(
                "t10k-images-idx3-ubyte",
                31_068,
                "sha256:b71e6a338807f343ef44176da9c97a6353f113af89c1dafb0ac0d470c0105461",
                "sha256:cefe86a05637f831a20aef251bd9db19004a2c986ec848d345c40ffd09264afc",
            ),
            labels=File(
                "t10k-labels-idx1-ubyte",
                152,
                "sha256:2cc872e664be95d3a20f61b2fc2cff31c1380d969b564ed8ba9a67d5be0c32b8",
                "sha256:181dda88fbf8032cf747bf0766ad9d035b6bb747997214d834eb8d2f33a72210",
            ),
            num_records=200,
            num_bytes=56_616,
        ),
    },
    sources=(Source("data/mnist_tiny.tar", 204_800),),
)

DATA_SETS: dict[str, DataSet] = {"mnist": MNIST, "tiny": TINY}
