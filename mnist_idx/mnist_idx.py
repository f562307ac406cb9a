"""The loading script: `MnistIdx`, the published datasets.

`import mnist_idx` makes `load_dataset("mnist_idx")` find this builder. On `datasets` 3.x this file
is a plain loading script, too: `load_dataset("path/to/mnist_idx", trust_remote_code=True)`. That
copies only the modules that the script itself imports, so every one that it needs indirectly is
imported here as well, and no import line has a comment.
"""

import functools
import os
from dataclasses import dataclass
from typing import Any

import datasets

from .archive import list_members as list_members
from .arrow import make_features
from .builder import IdxBuilder, IdxConfig
from .catalog import DATASETS
from .compression import detect_compression as detect_compression
from .downloads import download as download
from .errors import IdxError
from .filenames import is_same_name as is_same_name
from .http_ranges import make_session as make_session
from .idx import read_header as read_header
from .mirrors import MIRROR_VARIABLE, Mirrors, Source
from .places import absolute_path, is_remote
from .prefetch import prefetch as prefetch
from .ranges import Version as Version
from .records import SplitReader as SplitReader
from .registry import code_hash as code_hash
from .remote import retry as retry
from .selection import Selection as Selection
from .sources import YieldedRecords as YieldedRecords
from .storage import Access, SplitFiles

_patched_for_streaming = True  # as in `builder`
VERSION = datasets.Version("1.0.0")  # of the data, not of the package
OPTIONS: dict[str, dict[str, Any]] = {"subset": {"num_samples": 100, "seed": 1}}
TINY_WORKS = 'load the miniature "tiny", which needs no network'
OWN_FILES = 'To load your own IDX files, use load_dataset("idxfolder", {}).'


@dataclass
class MnistIdxConfig(IdxConfig):
    """What to load.

    `data_dir` is a copy of the published files: a folder, a tar or a zip, local or remote.
    """

    version: datasets.Version = VERSION

    def validate(self) -> None:
        super().validate()
        if self.data_files is not None or (self.name == "tiny" and self.data_dir is not None):
            option = "data_dir" if self.data_files is None else "data_files"
            raise IdxError(
                f"mnist_idx/{self.name} takes no {option}=. {OWN_FILES.format(f'{option}=…')}"
            )


class MnistIdx(IdxBuilder):
    """MNIST, a subset, a miniature, and its relatives."""

    BUILDER_CONFIG_CLASS = MnistIdxConfig
    BUILDER_CONFIGS = [
        MnistIdxConfig(
            name=name,
            description=data.description,
            transpose=data.transposed,
            **OPTIONS.get(name, {}),
        )
        for name, data in DATASETS.items()
    ]
    DEFAULT_CONFIG_NAME = "mnist"

    def _info(self) -> datasets.DatasetInfo:
        config, data = self.config, DATASETS[self.config.name]
        counts = config.selection.counts(
            {name: split.num_records for name, split in data.splits.items()}
        )
        splits = [
            {"name": n, "num_examples": c, "dataset_name": self.dataset_name}
            for n, c in counts.items()
        ]
        return datasets.DatasetInfo(
            description=data.description,
            citation=data.citation,
            homepage=data.homepage,
            license=data.license,
            features=make_features(
                config.name,
                data.shape,
                "uint8",
                data.class_names,
                data.label_parts,
                config.as_array,
            ),
            splits=splits,
        )

    def locate_splits(self, dl_manager: Any) -> dict[str, SplitFiles]:
        self.found_features = self._info().features
        return self._mirrors.locate(dl_manager)

    def next_source(self, split: str, files: SplitFiles, error: IdxError) -> SplitFiles:
        return self._mirrors.next_source(split, files, error)

    def has_next_source(self, files: SplitFiles) -> bool:
        is_verified = not (files.images.sha256 or files.images.content_sha256)
        return not is_verified and self._mirrors.has_next(files)

    @functools.cached_property
    def _mirrors(self) -> Mirrors:
        """Pickled with the builder: `SplitFiles.source` is an index into its sources in every
        process.
        """
        return published_mirrors(
            self.config.name, self.access, self.config.data_dir, self.base_path
        )


def published_mirrors(
    name: str,
    access: Access | None = None,
    data_dir: str | None = None,
    base_path: str | None = None,
) -> Mirrors:
    """The sources of a published dataset, or a copy of its files in `data_dir`.

    Relative paths are in `base_path`.
    """
    dataset = DATASETS[name]
    access = access or Access()
    title = f"mnist_idx/{name}"
    if data_dir is not None:
        way_out = f"Expected a copy of {title}. " + OWN_FILES.format(f'data_dir="{data_dir}"')
        return Mirrors(
            title, dataset, [Source(absolute_path(data_dir), True)], access, way_out, way_out
        )
    root = os.path.dirname(__file__)
    # A script of `datasets` 3.x runs from a copy of the code, without its data files.
    if base_path is not None and not os.path.exists(os.path.join(root, "data")):
        root = base_path if is_remote(base_path) else os.path.abspath(base_path)
    # The user has named the folder of a script, and nothing else of this.
    own_files = [
        Source(os.path.join(root, url), is_remote(root))
        for url in dataset.sources
        if not is_remote(url)
    ]
    sources = own_files + [Source(url, False) for url in dataset.sources if is_remote(url)]
    ways_out = ["pass data_dir= with a copy of the files", TINY_WORKS]
    typed_ways_out = [TINY_WORKS]
    # The miniature is in the package, and no mirror has it.
    if dataset.family == "mnist" and not own_files:
        if mirror := os.environ.get(MIRROR_VARIABLE):
            sources.insert(0, Source(absolute_path(mirror), True))
        else:
            set_variable = f"set {MIRROR_VARIABLE} to a URL or path of the archive"
            ways_out.insert(0, set_variable)
            typed_ways_out.insert(0, set_variable)
    way_out, typed_way_out = (
        f"Ways out: {', or '.join(ways)}." for ways in (ways_out, typed_ways_out)
    )
    return Mirrors(title, dataset, sources, access, way_out, typed_way_out)
