"""The loading script: `MnistIdx`, the published datasets.

`from mnist_idx import load_dataset` makes `load_dataset("mnist_idx")` find this builder. On
`datasets` 3.x this file is a plain loading script, too: `load_dataset("path/to/mnist_idx",
trust_remote_code=True)`. That copies only the modules that the script itself imports, by reading
its import lines as text. So every module that it needs indirectly is imported here as well, and no
import line has a comment.
"""

from dataclasses import dataclass

import datasets

from .archive import list_members as list_members
from .arrow import make_features
from .builder import IdxBuilder, IdxConfig
from .byte_ranges import Version as Version
from .catalog import DATASETS
from .compressions import COMPRESSIONS as COMPRESSIONS
from .copies import choose_copy as choose_copy
from .downloads import Downloader as Downloader
from .errors import IdxError
from .failover import Locator
from .fetching import InPlace as InPlace
from .filenames import is_same_name as is_same_name
from .hf import TableBuilder as TableBuilder
from .http_ranges import make_session as make_session
from .idx import read_header as read_header
from .members import Member as Member
from .mirrors import OWN_FILES, published_layout, published_mirrors, published_options
from .options import IdxOptions as IdxOptions
from .paths import absolute_path as absolute_path
from .png import encode_png as encode_png
from .prefetch import prefetch as prefetch
from .record_layout import Layout as Layout
from .records import SplitReader as SplitReader
from .registry import code_hash as code_hash
from .remote import retry as retry
from .selection import Selection as Selection
from .signatures import find_foreign as find_foreign
from .streams import Stream as Stream
from .suggestions import check_config_name as check_config_name

_patched_for_streaming = True  # as in `hf`

VERSION = datasets.Version("1.0.0")  # of the data, not of the package


@dataclass
class MnistIdxConfig(IdxConfig):
    """Options of `mnist_idx`, see `IdxOptions`, in addition to those of `datasets`.

    `data_dir` is a copy of the published files: a folder, a tar or a zip, local or remote.
    `load_dataset` takes them by their names.

    >>> from mnist_idx import load_dataset
    >>> ds = load_dataset("mnist_idx", "tiny", num_samples=50, seed=3, as_array=True)
    >>> ds["train"].num_rows, ds["train"].features["image"]
    (50, Array2D(shape=(28, 28), dtype='uint8'))

    Raises:
        IdxError: an option has a value that it cannot have; when the builder is made.
    """

    version: datasets.Version = VERSION

    def validate(self) -> None:
        super().validate()
        refused = None
        if self.data_files is not None:
            refused = "data_files"
        elif self.name == "tiny" and self.data_dir is not None:
            refused = "data_dir"
        if refused is not None:
            own_files = OWN_FILES.format(option=f"{refused}=…")
            raise IdxError(f"mnist_idx/{self.name} takes no {refused}=. {own_files}")


def _make_config(name: str) -> MnistIdxConfig:
    data = DATASETS[name]
    return MnistIdxConfig(
        name=name,
        description=data.description,
        **published_options(data),
    )


class MnistIdx(IdxBuilder):
    """The builder of "mnist_idx": MNIST, a subset, a miniature, and its relatives.

    Records are an `image`, an `Image` of 28 x 28 gray pixels, 0 to 255, and a `label`, a
    `ClassLabel`; of QMNIST `label_details`, too. `load_dataset` makes the builder, and prepares
    the splits.

    >>> from mnist_idx import MnistIdx
    >>> builder = MnistIdx(config_name="tiny")
    >>> {name: split.num_examples for name, split in builder.info.splits.items()}
    {'train': 1000, 'test': 200}
    >>> builder.download_and_prepare()
    >>> builder.as_dataset(split="test")[0]["label"]
    7

    Raises:
        IdxError: there is no such config or option, or no source of the data can be used.
    """

    BUILDER_CONFIG_CLASS = MnistIdxConfig  # type: ignore[assignment]  # its type is inferred
    BUILDER_CONFIGS = [_make_config(name) for name in DATASETS]
    DEFAULT_CONFIG_NAME = "mnist"  # type: ignore[assignment]  # None in the base class

    def _info(self) -> datasets.DatasetInfo:
        config, data = self.config, DATASETS[self.config.name]
        layout = published_layout(data)
        sizes = {name: split.num_records for name, split in data.splits.items()}
        splits = datasets.SplitDict(dataset_name=self.dataset_name)
        for name, count in config.selection.counts(sizes).items():
            splits.add(datasets.SplitInfo(name, num_examples=count))
        return datasets.DatasetInfo(
            description=data.description,
            citation=data.citation,
            homepage=data.homepage,
            license=data.license,
            features=make_features(layout, config.as_array),
            splits=splits,
        )

    def make_locator(self) -> Locator:
        config = self.config
        return published_mirrors(config.name, self.access, config.data_dir, self.base_path)
