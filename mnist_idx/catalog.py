"""The published datasets: where they are, what they hold, and their checksums.

One row per file, no logic. `mnist-idx catalog-row FILES` prints the rows of another dataset.

The checksums of the compressed MNIST files are those that TensorFlow Datasets checks, too. The
checksum of its content identifies a file that is compressed in another way. That of the labels of
Fashion-MNIST and QMNIST was computed from the published files, which have the checksum of the
compressed file; datasets-mila on GitHub has the same MD5. That of their images, of KMNIST and of
EMNIST is not known: a file of these that is compressed in another way cannot be verified.
"""

import string
from typing import NamedTuple


class File(NamedTuple):
    """A published file, compressed."""

    name: str  # without the suffix
    size: int  # bytes of the compressed file
    sha256: str  # of the compressed file
    content_sha256: str | None = None  # of the decompressed content; None: not known
    suffix: str = ".gz"  # of its compression


class Split(NamedTuple):
    """The files of a split."""

    images: File
    labels: File
    num_records: int


class About(NamedTuple):
    """What the card of a dataset says of it, besides what is here for other reasons."""

    name: str  # what people call it
    paper: str  # title
    paper_url: str
    tags: tuple[str, ...]
    source: str  # what it was made of, as the Hugging Face Hub names it
    label: str = "the class"  # what a label says
    papers_with_code: str | None = None  # its name there


class PublishedDataset(NamedTuple):
    """A dataset of gray images."""

    # Datasets of one family may be published together: they share homepage, license and card.
    family: str
    title: str  # heading of the card
    description: str
    homepage: str
    license: str  # of the data, as the Hugging Face Hub names it
    citation: str  # in BibTeX
    class_names: tuple[str, ...]
    splits: dict[str, Split]
    # URLs of archives, or, with a final slash, of folders of single files. Paths start here.
    sources: tuple[str, ...]
    shape: tuple[int, ...] = (28, 28)  # of an image
    label_parts: int = 1  # numbers per label; the first is the class
    transposed: bool = False  # rows and columns are exchanged in the files
    # What the config selects, unless the user says otherwise; see `options.IdxOptions`.
    num_samples: int | None = None
    seed: int | None = None
    # For its card.
    about: About | None = None
    part_of: str | None = None  # the config that has all records, if this has only some
    extent: str = "all records"  # what the files hold
    content: str | None = None  # what tells it from the others of its family


# fmt: off
MNIST_SPLITS = {
    "train": Split(
        images=File("train-images-idx3-ubyte", 9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        labels=File("train-labels-idx1-ubyte", 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        num_records=60_000,
    ),
    "test": Split(
        images=File("t10k-images-idx3-ubyte", 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        labels=File("t10k-labels-idx1-ubyte", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        num_records=10_000,
    ),
}
TINY_SPLITS = {
    "train": Split(
        images=File("train-images-idx3-ubyte", 161_752, "82147ea4510b80c25bd326778de58a7a13aa3292825949ff4892373dbbb47f98", "386bb018796babeaca208787b77c1b9db39532c4098951ea35f4694e744eb4b7"),
        labels=File("train-labels-idx1-ubyte", 541, "b388356812b449694bd87f935ed7cb662a128f8c57fe44f1a5421d14f673851b", "895f65588e45d05babf0b5fa7aee2a0d782d8143b40b5764e596df91bc9dddeb"),
        num_records=1_000,
    ),
    "test": Split(
        images=File("t10k-images-idx3-ubyte", 31_068, "b71e6a338807f343ef44176da9c97a6353f113af89c1dafb0ac0d470c0105461", "cefe86a05637f831a20aef251bd9db19004a2c986ec848d345c40ffd09264afc"),
        labels=File("t10k-labels-idx1-ubyte", 152, "2cc872e664be95d3a20f61b2fc2cff31c1380d969b564ed8ba9a67d5be0c32b8", "181dda88fbf8032cf747bf0766ad9d035b6bb747997214d834eb8d2f33a72210"),
        num_records=200,
    ),
}
FASHION_MNIST_SPLITS = {
    "train": Split(
        images=File("train-images-idx3-ubyte", 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        labels=File("train-labels-idx1-ubyte", 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
        num_records=60_000,
    ),
    "test": Split(
        images=File("t10k-images-idx3-ubyte", 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        labels=File("t10k-labels-idx1-ubyte", 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        num_records=10_000,
    ),
}
KMNIST_SPLITS = {
    "train": Split(
        images=File("train-images-idx3-ubyte", 18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
        labels=File("train-labels-idx1-ubyte", 29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
        num_records=60_000,
    ),
    "test": Split(
        images=File("t10k-images-idx3-ubyte", 3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
        labels=File("t10k-labels-idx1-ubyte", 5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
        num_records=10_000,
    ),
}
QMNIST_SPLITS = {
    "train": Split(
        images=File("qmnist-train-images-idx3-ubyte", 9_704_059, "9e26a7bf1683614e065d7b76460ccd52807165b3f22561fb782bd9f38c52b51d"),
        labels=File("qmnist-train-labels-idx2-int", 463_024, "2c05dc77f6b916b38e455e97ab129a42a444f3dbef09b278a366f82904e0dd9f", "bb1b6e1ec7b04fd5696f1ed50b5f58f8ef195118edd5c93c81783df9740b8ac5"),
        num_records=60_000,
    ),
    "test": Split(
        images=File("qmnist-test-images-idx3-ubyte", 9_742_279, "43fc22bf7498b8fc98de98369d72f752d0deabc280a43a7bcc364ab19e57b375"),
        labels=File("qmnist-test-labels-idx2-int", 526_800, "9fbcbe594c3766fdf4f0b15c5165dc0d1e57ac604e01422608bb72c906030d06", "92d0ccb8c25f9c6534270fb4be7e1d24a1c6d315edfc8a638bfbd31c70f362dd"),
        num_records=60_000,
    ),
}
# The digests are torchvision's. The size of the images is in a git-annex key with torchvision's
# MD5, 7f124b3b8ab81486c9d8c2749c17f834. What is said of the labels was computed from their file.
QMNIST_NIST_SPLITS = {
    "train": Split(
        images=File("xnist-images-idx3-ubyte", 51_325_860, "f075553993026d4359ded42208eff77a1941d3963c1eff49d6015814f15f0984", suffix=".xz"),
        labels=File("xnist-labels-idx2-int", 958_144, "db042968723ec2b7aed5f1beac25d2b6e983b9286d4f4bf725f1086e5ae55c4f", "4aea10456d9cf8fcc7bcd377f8ccbc5b0c02ffe0354a7137204794d6b620aa38", suffix=".xz"),
        num_records=402_953,
    ),
}
EMNIST_BYCLASS_SPLITS = {
    "train": Split(
        images=File("emnist-byclass-train-images-idx3-ubyte", 173_367_313, "9e21987f03a6eb8b870187e785883ddad96947299587908f1a7ec2ca0f4be5f0"),
        labels=File("emnist-byclass-train-labels-idx1-ubyte", 491_603, "f7ef403d48dc18a89dae0d83d11ee69cecb6e1c12c3a961d03712e495c02a8fa"),
        num_records=697_932,
    ),
    "test": Split(
        images=File("emnist-byclass-test-images-idx3-ubyte", 28_908_322, "5ec835bd5d5b1a66378a132e727fef20fe994b3cc666899befcca5ac766f50cd"),
        labels=File("emnist-byclass-test-labels-idx1-ubyte", 81_839, "501e305eeeacb093b162592d80e8a2632040872360fa6d85cfcb2200d91ca92a"),
        num_records=116_323,
    ),
}
EMNIST_BYMERGE_SPLITS = {
    "train": Split(
        images=File("emnist-bymerge-train-images-idx3-ubyte", 173_375_281, "39bf8c68037dad40db35348895f7e4e056e8c0a005ab78869c9fbc2c96e947be"),
        labels=File("emnist-bymerge-train-labels-idx1-ubyte", 476_444, "2c47293b9e62d6abf6ad05fbf67e40baa32adfd380b8d7b44dcc35534b64e1f1"),
        num_records=697_932,
    ),
    "test": Split(
        images=File("emnist-bymerge-test-images-idx3-ubyte", 28_905_295, "5e5815ec1b522089134435f7c55e75a00960b58414793593ffff23efc0821683"),
        labels=File("emnist-bymerge-test-labels-idx1-ubyte", 79_351, "8bda1516255683ba9071e141947ca0c91a911176065cdd6259b0b4d8dc5b5f35"),
        num_records=116_323,
    ),
}
EMNIST_BALANCED_SPLITS = {
    "train": Split(
        images=File("emnist-balanced-train-images-idx3-ubyte", 28_207_740, "74295e75e4e9fa2c102147460ee7eb763653d5132d883a84fb88932bfb8d2db4"),
        labels=File("emnist-balanced-train-labels-idx1-ubyte", 80_618, "b46d41e5156a0a8aaaa4d18979fdd1588850fa8571018acffd5d93b325a7d6ed"),
        num_records=112_800,
    ),
    "test": Split(
        images=File("emnist-balanced-test-images-idx3-ubyte", 4_714_707, "117fc12b015e37ea98bfb2cbba3f77c3782c056cdbd219b87abfc8661d7135db"),
        labels=File("emnist-balanced-test-labels-idx1-ubyte", 13_504, "a67cac948379b67270b9a4d0a01c8ec661598accf2f2b1964340b7c83cb175cd"),
        num_records=18_800,
    ),
}
EMNIST_LETTERS_SPLITS = {
    "train": Split(
        images=File("emnist-letters-train-images-idx3-ubyte", 30_804_864, "6288f418a917e007bf5fddb823a2dc7a5c6a35031401b93292a539cb12bd881f"),
        labels=File("emnist-letters-train-labels-idx1-ubyte", 79_283, "9759af91ea6bccdf07a6040fd085861f2ec88e37f7c3f5760f6feb57106fbe5c"),
        num_records=124_800,
    ),
    "test": Split(
        images=File("emnist-letters-test-images-idx3-ubyte", 5_039_157, "50f0e93d75b99b463e9760b8345866f22587fa2c2fba472730a5ba09c693412d"),
        labels=File("emnist-letters-test-labels-idx1-ubyte", 144, "924955c31fe7fd809b7303b5c0141282955f4b8390c74cdfd5d80435e0f4b4cb"),
        num_records=20_800,
    ),
}
EMNIST_DIGITS_SPLITS = {
    "train": Split(
        images=File("emnist-digits-train-images-idx3-ubyte", 59_515_779, "f7c95004d14d81af89522e67d8f0c781dfb3bd544181c81bfe1eb6b41c35b726"),
        labels=File("emnist-digits-train-labels-idx1-ubyte", 113_859, "6638a6ff5fe2eefd9cca2471995b46c82986b8e4b2a70d2f5ce8e05d7edb319e"),
        num_records=240_000,
    ),
    "test": Split(
        images=File("emnist-digits-test-images-idx3-ubyte", 9_908_519, "20ebe43509264f7639d37c835a3f0b009e90b29e00a099a03101abe1644a3f63"),
        labels=File("emnist-digits-test-labels-idx1-ubyte", 19_960, "bad1834c45d5988e270b99d43b13edc3fd898f658ffbc2caf2846ef27f7b05b0"),
        num_records=40_000,
    ),
}
EMNIST_MNIST_SPLITS = {
    "train": Split(
        images=File("emnist-mnist-train-images-idx3-ubyte", 14_873_795, "5f9942f441031c0f1f2e4d162059fd6e19ea808b34c328b6d16cab0ed24c78f2"),
        labels=File("emnist-mnist-train-labels-idx1-ubyte", 29_480, "00c6d3c2342fdffb1711e0b5656cac4ce5862d2826399d383a9bac07d612e9f8"),
        num_records=60_000,
    ),
    "test": Split(
        images=File("emnist-mnist-test-images-idx3-ubyte", 2_484_884, "b25640fa9e356c618132f5df347c95ef5bae6d9c2596be1de40f7e0ae1c3eac6"),
        labels=File("emnist-mnist-test-labels-idx1-ubyte", 5_144, "bcc5385d38f083dba046f5f756e99b32f5ea7fad122c6243c71c2239873065ca"),
        num_records=10_000,
    ),
}
# fmt: on

DIGITS = tuple(string.digits)
ALPHANUMERIC = (*DIGITS, *string.ascii_uppercase, *string.ascii_lowercase)
# Small letters that look like their capitals are in one class with them.
MERGED = (*DIGITS, *string.ascii_uppercase, *"abdefghnqrt")
# The labels in the files start at 1. As in torchvision, class 0 is "N/A".
LETTERS = ("N/A", *string.ascii_lowercase)
CLOTHES = (
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
)

MNIST = PublishedDataset(
    family="mnist",
    title="The MNIST database of handwritten digits",
    description=(
        "The MNIST database of handwritten digits: 70,000 gray images of 28x28 pixels, one digit "
        "each."
    ),
    homepage="http://yann.lecun.com/exdb/mnist/",
    license="cc-by-sa-3.0",
    citation="""\
@article{lecun1998gradient,
  title = {Gradient-based learning applied to document recognition},
  author = {LeCun, Yann and Bottou, L{\\'e}on and Bengio, Yoshua and Haffner, Patrick},
  journal = {Proceedings of the IEEE}, volume = {86}, number = {11}, pages = {2278--2324}, \
year = {1998},
  doi = {10.1109/5.726791}
}
""",
    class_names=DIGITS,
    splits=MNIST_SPLITS,
    sources=(
        "https://synthase.s3.us-west-2.amazonaws.com/mnist_database.tar",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    about=About(
        name="MNIST",
        paper="Gradient-based learning applied to document recognition",
        paper_url="https://doi.org/10.1109/5.726791",
        tags=("mnist", "handwritten-digits", "digit-recognition", "grayscale", "idx"),
        source="extended|other-nist",
        label="the digit",
        papers_with_code="mnist",
    ),
)

TINY = MNIST._replace(
    description=(
        "A miniature of the MNIST database: its first 1,000 train and first 200 test records."
    ),
    splits=TINY_SPLITS,
    sources=("data/mnist_tiny.tar",),
    part_of="mnist",
    extent="the first records of each split",
)

FASHION_MNIST = PublishedDataset(
    family="fashion_mnist",
    title="Fashion-MNIST",
    description=(
        "Fashion-MNIST: 70,000 gray images of 28x28 pixels, one article of clothing from Zalando's "
        "shop each."
    ),
    homepage="https://github.com/zalandoresearch/fashion-mnist",
    license="mit",
    citation="""\
@article{xiao2017fashion,
  title = {Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms},
  author = {Xiao, Han and Rasul, Kashif and Vollgraf, Roland},
  journal = {CoRR}, volume = {abs/1708.07747}, year = {2017}, \
url = {http://arxiv.org/abs/1708.07747}
}
""",
    class_names=CLOTHES,
    splits=FASHION_MNIST_SPLITS,
    sources=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    about=About(
        name="Fashion-MNIST",
        paper="Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
        paper_url="https://arxiv.org/abs/1708.07747",
        tags=("fashion-mnist", "clothing", "grayscale", "idx"),
        source="original",
        label="the kind of the article",
        papers_with_code="fashion-mnist",
    ),
)

KMNIST = PublishedDataset(
    family="kmnist",
    title="Kuzushiji-MNIST",
    description=(
        "Kuzushiji-MNIST: 70,000 gray images of 28x28 pixels, one cursive Japanese character each, "
        'from ten rows of Hiragana. "KMNIST Dataset" (created by CODH), adapted from "Kuzushiji '
        'Dataset" (created by NIJL and others), doi:10.20676/00000341.'
    ),
    homepage="http://codh.rois.ac.jp/kmnist/index.html.en",
    license="cc-by-sa-4.0",
    citation="""\
@online{clanuwat2018deep,
  title = {Deep Learning for Classical Japanese Literature},
  author = {Clanuwat, Tarin and Bober-Irizar, Mikel and Kitamoto, Asanobu and Lamb, Alex and \
Yamamoto, Kazuaki and
  Ha, David},
  date = {2018-12-03}, year = {2018}, eprintclass = {cs.CV}, eprinttype = {arXiv}, \
eprint = {1812.01718}
}
""",
    class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    splits=KMNIST_SPLITS,
    sources=(
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    ),
    about=About(
        name="Kuzushiji-MNIST",
        paper="Deep Learning for Classical Japanese Literature",
        paper_url="https://arxiv.org/abs/1812.01718",
        tags=("kmnist", "kuzushiji", "handwritten-characters", "grayscale", "idx"),
        source="extended|other-kuzushiji-dataset",
        label="the character, as modern Hiragana in Latin letters",
        papers_with_code="kuzushiji-mnist",
    ),
)

# The first 10,000 test records are those of MNIST, the others its lost ones. A label is: class,
# NIST HSF series, writer, number of the digit for this writer, NIST class code, number of the digit
# in NIST, number of the digit in NIST that it repeats (0: none), unused.
QMNIST = PublishedDataset(
    family="qmnist",
    title="QMNIST",
    description=(
        "QMNIST: MNIST rebuilt from NIST's database, with the 50,000 lost test images and all "
        "writers."
    ),
    homepage="https://github.com/facebookresearch/qmnist",
    license="bsd-3-clause",
    citation="""\
@incollection{qmnist-2019,
  title = {Cold Case: The Lost MNIST Digits}, year = {2019},
  author = {Yadav, Chhavi and Bottou, L{\\'e}on},
  booktitle = {Advances in Neural Information Processing Systems 32}, \
publisher = {Curran Associates, Inc.}
}
""",
    class_names=DIGITS,
    splits=QMNIST_SPLITS,
    sources=("https://raw.githubusercontent.com/facebookresearch/qmnist/master/",),
    label_parts=8,
    about=About(
        name="QMNIST",
        paper="Cold Case: The Lost MNIST Digits",
        paper_url="https://arxiv.org/abs/1905.10498",
        tags=("qmnist", "mnist", "handwritten-digits", "digit-recognition", "grayscale", "idx"),
        source="extended|other-nist",
        label="the digit",
    ),
    content="MNIST with its full test split",
)

QMNIST_NIST = QMNIST._replace(
    description=(
        "QMNIST: all 402,953 digits of NIST's database, as gray images of 28x28 pixels like those "
        "of MNIST, in the order of their writers."
    ),
    splits=QMNIST_NIST_SPLITS,
    content="all digits of NIST's database, in the order of their writers",
)


def _emnist(
    splits: dict[str, Split], content: str, class_names: tuple[str, ...]
) -> PublishedDataset:
    """The facts that the six datasets of EMNIST share, and those of one of them."""
    sentence = f"{content[0].upper()}{content[1:]}."
    return PublishedDataset(
        family="emnist",
        title="EMNIST",
        description="EMNIST: handwritten characters as gray images of 28x28 pixels. " + sentence,
        homepage="https://www.nist.gov/itl/products-and-services/emnist-dataset",
        license="unknown",
        citation="""\
@inproceedings{cohen2017emnist,
  title = {EMNIST: Extending MNIST to handwritten letters},
  author = {Cohen, Gregory and Afshar, Saeed and Tapson, Jonathan and van Schaik, Andr{\\'e}},
  booktitle = {2017 International Joint Conference on Neural Networks (IJCNN)},
  year = {2017}, doi = {10.1109/IJCNN.2017.7966217}
}
""",
        class_names=class_names,
        splits=splits,
        sources=("https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",),  # holds all six
        transposed=True,
        about=About(
            name="EMNIST",
            paper="EMNIST: Extending MNIST to handwritten letters",
            paper_url="https://arxiv.org/abs/1702.05373",
            tags=("emnist", "handwritten-characters", "grayscale", "idx"),
            source="extended|other-nist",
            label="the character",
            papers_with_code="emnist",
        ),
        content=content,
    )


DATASETS: dict[str, PublishedDataset] = {
    "mnist": MNIST,
    "subset": MNIST._replace(
        description="A seeded, shuffled subset of MNIST.",
        num_samples=100,
        seed=1,
        part_of="mnist",
    ),
    "tiny": TINY,
    "fashion_mnist": FASHION_MNIST,
    "kmnist": KMNIST,
    "qmnist": QMNIST,
    "qmnist_nist": QMNIST_NIST,
    "emnist_byclass": _emnist(
        EMNIST_BYCLASS_SPLITS, "all that were collected, 62 classes", ALPHANUMERIC
    ),
    "emnist_bymerge": _emnist(
        EMNIST_BYMERGE_SPLITS, "letters alike in both cases merged, 47 classes", MERGED
    ),
    "emnist_balanced": _emnist(
        EMNIST_BALANCED_SPLITS, "47 classes, equally many records each", MERGED
    ),
    "emnist_letters": _emnist(EMNIST_LETTERS_SPLITS, "letters, both cases merged", LETTERS),
    "emnist_digits": _emnist(EMNIST_DIGITS_SPLITS, "digits, equally many records each", DIGITS),
    "emnist_mnist": _emnist(EMNIST_MNIST_SPLITS, "digits, as many as in MNIST", DIGITS),
}
