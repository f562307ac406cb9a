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
    """A published split: its files, its number of records, and the bytes that its Arrow file takes, 0 if not known."""

    images: File
    labels: File
    num_records: int
    num_bytes: int = 0


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
    """A published data set.

    Attributes:
        description: what it is.
        homepage: where there is more about it.
        license: licence of the data, by its name on the Hugging Face Hub.
        citation: as BibTeX.
        record_shape: shape of an image as it is stored.
        label_names: names of the classes.
        splits: its splits by name.
        sources: where it can be had, in the order in which they are tried.
        label_parts: how many numbers a label is made of; the first is the class.
        transposed: whether the images are stored with rows and columns exchanged.
    """

    description: str
    homepage: str
    license: str
    citation: str
    record_shape: tuple[int, ...]
    label_names: tuple[str, ...]
    splits: dict[str, Split]
    sources: tuple[Source, ...]
    label_parts: int = 1
    transposed: bool = False


def _split(
    prefix: str,
    num_records: int,
    images: tuple[int, str],
    labels: tuple[int, str],
    label_type: str = "idx1-ubyte",
    unpacked_labels: str | None = None,
) -> Split:
    """A split whose files are named as MNIST's are, with bytes and SHA-256 digests of the packed files."""
    unpacked = unpacked_labels and f"sha256:{unpacked_labels}"
    return Split(
        File(f"{prefix}-images-idx3-ubyte", images[0], f"sha256:{images[1]}"),
        File(f"{prefix}-labels-{label_type}", labels[0], f"sha256:{labels[1]}", unpacked),
        num_records,
    )


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

FASHION_MNIST = DataSet(
    description=(
        "Fashion-MNIST: 70,000 gray images of 28x28 pixels, an article of clothing each, from Zalando's shop; made to "
        "take the place of MNIST."
    ),
    homepage="https://github.com/zalandoresearch/fashion-mnist",
    license="mit",
    citation="""\
@article{xiao2017fashion,
  title   = {Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms},
  author  = {Xiao, Han and Rasul, Kashif and Vollgraf, Roland},
  journal = {CoRR},
  volume  = {abs/1708.07747},
  year    = {2017},
  url     = {http://arxiv.org/abs/1708.07747}
}
""",
    record_shape=(28, 28),
    label_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    splits={
        "train": _split(
            "train",
            60_000,
            (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            unpacked_labels="bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        "test": _split(
            "t10k",
            10_000,
            (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
            unpacked_labels="0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    },
    sources=(
        Source("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", 30_878_645),
        Source("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/", 30_878_645),
    ),
)

KMNIST = DataSet(
    description=(
        "Kuzushiji-MNIST: 70,000 gray images of 28x28 pixels, a cursive Japanese character each, one for each of the "
        'ten rows of Hiragana. "KMNIST Dataset" (created by CODH), adapted from "Kuzushiji Dataset" (created by NIJL '
        "and others), doi:10.20676/00000341."
    ),
    homepage="http://codh.rois.ac.jp/kmnist/index.html.en",
    license="cc-by-sa-4.0",
    citation="""\
@online{clanuwat2018deep,
  title       = {Deep Learning for Classical Japanese Literature},
  author      = {Clanuwat, Tarin and Bober-Irizar, Mikel and Kitamoto, Asanobu and Lamb, Alex and Yamamoto, Kazuaki
                 and Ha, David},
  date        = {2018-12-03},
  year        = {2018},
  eprintclass = {cs.CV},
  eprinttype  = {arXiv},
  eprint      = {1812.01718}
}
""",
    record_shape=(28, 28),
    label_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    splits={
        "train": _split(
            "train",
            60_000,
            (18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
            (29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
        ),
        "test": _split(
            "t10k",
            10_000,
            (3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
            (5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
        ),
    },
    sources=(
        Source("http://codh.rois.ac.jp/kmnist/dataset/kmnist/", 21_240_888),
        Source("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", 21_240_888),
    ),
)

# The first 10,000 test records are those of MNIST, the rest its lost ones. A label is: class, NIST HSF series, writer,
# number of the digit for this writer, NIST class code, number of the digit in NIST's database, duplicate, unused.
QMNIST = DataSet(
    description=(
        "QMNIST: MNIST made again from NIST's database, with the 50,000 test images that had been lost, and for each "
        "image where it is from: 120,000 gray images of 28x28 pixels, a digit each."
    ),
    homepage="https://github.com/facebookresearch/qmnist",
    license="bsd-3-clause",
    citation="""\
@incollection{qmnist-2019,
  title     = {Cold Case: The Lost MNIST Digits},
  author    = {Yadav, Chhavi and Bottou, L{\\'e}on},
  booktitle = {Advances in Neural Information Processing Systems 32},
  year      = {2019},
  publisher = {Curran Associates, Inc.}
}
""",
    record_shape=(28, 28),
    label_names=DIGITS,
    splits={
        "train": _split(
            "qmnist-train",
            60_000,
            (9_704_059, "9e26a7bf1683614e065d7b76460ccd52807165b3f22561fb782bd9f38c52b51d"),
            (463_024, "2c05dc77f6b916b38e455e97ab129a42a444f3dbef09b278a366f82904e0dd9f"),
            "idx2-int",
            "bb1b6e1ec7b04fd5696f1ed50b5f58f8ef195118edd5c93c81783df9740b8ac5",
        ),
        "test": _split(
            "qmnist-test",
            60_000,
            (9_742_279, "43fc22bf7498b8fc98de98369d72f752d0deabc280a43a7bcc364ab19e57b375"),
            (526_800, "9fbcbe594c3766fdf4f0b15c5165dc0d1e57ac604e01422608bb72c906030d06"),
            "idx2-int",
            "92d0ccb8c25f9c6534270fb4be7e1d24a1c6d315edfc8a638bfbd31c70f362dd",
        ),
    },
    sources=(Source("https://raw.githubusercontent.com/facebookresearch/qmnist/master/", 20_436_162),),
    label_parts=8,
)

CAPITALS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
SMALL = tuple("abcdefghijklmnopqrstuvwxyz")
EMNIST = DataSet(
    description="EMNIST: handwritten characters of NIST Special Database 19 as gray images of 28x28 pixels.",
    homepage="https://www.nist.gov/itl/products-and-services/emnist-dataset",
    license="unknown",
    citation="""\
@inproceedings{cohen2017emnist,
  title        = {EMNIST: Extending MNIST to handwritten letters},
  author       = {Cohen, Gregory and Afshar, Saeed and Tapson, Jonathan and van Schaik, Andr{\\'e}},
  booktitle    = {2017 International Joint Conference on Neural Networks (IJCNN)},
  year         = {2017},
  doi          = {10.1109/IJCNN.2017.7966217}
}
""",
    record_shape=(28, 28),
    label_names=DIGITS,
    splits={},
    # One archive with all six sets.
    sources=(Source("https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip", 561_753_746),),
    transposed=True,
)
# Small letters that look like their capitals are in one class with them.
MERGED = (*DIGITS, *CAPITALS, *"abdefghnqrt")
EMNIST_LABEL_NAMES: dict[str, tuple[str, ...]] = {
    "byclass": (*DIGITS, *CAPITALS, *SMALL),
    "bymerge": MERGED,
    "balanced": MERGED,
    # The labels in the files start at 1; torchvision, too, leaves them so and calls the unused class "N/A".
    "letters": ("N/A", *SMALL),
    "digits": DIGITS,
    "mnist": DIGITS,
}
EMNIST_SPLITS: dict[str, dict[str, Split]] = {
    "byclass": {
        "train": _split(
            "emnist-byclass-train",
            697_932,
            (173_367_313, "9e21987f03a6eb8b870187e785883ddad96947299587908f1a7ec2ca0f4be5f0"),
            (491_603, "f7ef403d48dc18a89dae0d83d11ee69cecb6e1c12c3a961d03712e495c02a8fa"),
        ),
        "test": _split(
            "emnist-byclass-test",
            116_323,
            (28_908_322, "5ec835bd5d5b1a66378a132e727fef20fe994b3cc666899befcca5ac766f50cd"),
            (81_839, "501e305eeeacb093b162592d80e8a2632040872360fa6d85cfcb2200d91ca92a"),
        ),
    },
    "bymerge": {
        "train": _split(
            "emnist-bymerge-train",
            697_932,
            (173_375_281, "39bf8c68037dad40db35348895f7e4e056e8c0a005ab78869c9fbc2c96e947be"),
            (476_444, "2c47293b9e62d6abf6ad05fbf67e40baa32adfd380b8d7b44dcc35534b64e1f1"),
        ),
        "test": _split(
            "emnist-bymerge-test",
            116_323,
            (28_905_295, "5e5815ec1b522089134435f7c55e75a00960b58414793593ffff23efc0821683"),
            (79_351, "8bda1516255683ba9071e141947ca0c91a911176065cdd6259b0b4d8dc5b5f35"),
        ),
    },
    "balanced": {
        "train": _split(
            "emnist-balanced-train",
            112_800,
            (28_207_740, "74295e75e4e9fa2c102147460ee7eb763653d5132d883a84fb88932bfb8d2db4"),
            (80_618, "b46d41e5156a0a8aaaa4d18979fdd1588850fa8571018acffd5d93b325a7d6ed"),
        ),
        "test": _split(
            "emnist-balanced-test",
            18_800,
            (4_714_707, "117fc12b015e37ea98bfb2cbba3f77c3782c056cdbd219b87abfc8661d7135db"),
            (13_504, "a67cac948379b67270b9a4d0a01c8ec661598accf2f2b1964340b7c83cb175cd"),
        ),
    },
    "letters": {
        "train": _split(
            "emnist-letters-train",
            124_800,
            (30_804_864, "6288f418a917e007bf5fddb823a2dc7a5c6a35031401b93292a539cb12bd881f"),
            (79_283, "9759af91ea6bccdf07a6040fd085861f2ec88e37f7c3f5760f6feb57106fbe5c"),
        ),
        "test": _split(
            "emnist-letters-test",
            20_800,
            (5_039_157, "50f0e93d75b99b463e9760b8345866f22587fa2c2fba472730a5ba09c693412d"),
            (144, "924955c31fe7fd809b7303b5c0141282955f4b8390c74cdfd5d80435e0f4b4cb"),
        ),
    },
    "digits": {
        "train": _split(
            "emnist-digits-train",
            240_000,
            (59_515_779, "f7c95004d14d81af89522e67d8f0c781dfb3bd544181c81bfe1eb6b41c35b726"),
            (113_859, "6638a6ff5fe2eefd9cca2471995b46c82986b8e4b2a70d2f5ce8e05d7edb319e"),
        ),
        "test": _split(
            "emnist-digits-test",
            40_000,
            (9_908_519, "20ebe43509264f7639d37c835a3f0b009e90b29e00a099a03101abe1644a3f63"),
            (19_960, "bad1834c45d5988e270b99d43b13edc3fd898f658ffbc2caf2846ef27f7b05b0"),
        ),
    },
    "mnist": {
        "train": _split(
            "emnist-mnist-train",
            60_000,
            (14_873_795, "5f9942f441031c0f1f2e4d162059fd6e19ea808b34c328b6d16cab0ed24c78f2"),
            (29_480, "00c6d3c2342fdffb1711e0b5656cac4ce5862d2826399d383a9bac07d612e9f8"),
        ),
        "test": _split(
            "emnist-mnist-test",
            10_000,
            (2_484_884, "b25640fa9e356c618132f5df347c95ef5bae6d9c2596be1de40f7e0ae1c3eac6"),
            (5_144, "bcc5385d38f083dba046f5f756e99b32f5ea7fad122c6243c71c2239873065ca"),
        ),
    },
}
EMNIST_DESCRIPTIONS = {
    "byclass": "All digits and letters, in as many records as were written; 62 classes.",
    "bymerge": "All digits and letters, letters that look the same in both cases merged; 47 classes.",
    "balanced": "As bymerge, with the same number of records in each of the 47 classes.",
    "letters": "Letters, both cases merged, with the same number of records in each of the 26 classes.",
    "digits": "Digits, with the same number of records in each of the 10 classes.",
    "mnist": "Digits, as many as in MNIST.",
}

# Data sets in the same format, from other sources.
RELATIVES: dict[str, DataSet] = {
    "fashion_mnist": FASHION_MNIST,
    "kmnist": KMNIST,
    "qmnist": QMNIST,
    **{
        f"emnist_{name}": EMNIST._replace(
            description=f"{EMNIST.description} {EMNIST_DESCRIPTIONS[name]}",
            label_names=names,
            splits=EMNIST_SPLITS[name],
        )
        for name, names in EMNIST_LABEL_NAMES.items()
    },
}

DATA_SETS: dict[str, DataSet] = {"mnist": MNIST, "tiny": TINY, **RELATIVES}
