"""The loading script: `MnistIdx`, the published datasets.

`import mnist_idx` makes `load_dataset("mnist_idx")` find this builder. On `datasets` 3.x this file is a plain loading
script, too: `load_dataset("path/to/mnist_idx", trust_remote_code=True)`. That copies only the modules that the script
itself imports, so every one that it needs indirectly is imported here as well, and no import line has a comment.
"""

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from .archive import list_members as list_members
from .arrow import make_features
from .builder import IdxBuilder, IdxConfig
from .catalog import DATASETS, Source
from .compression import detect_compression as detect_compression
from .filenames import is_same_name as is_same_name
from .idx import IdxError
from .mirrors import MIRROR_VARIABLE, Mirrors
from .png import encode_png as encode_png
from .records import SplitReader as SplitReader
from .remote import is_remote
from .sampling import check_num_samples, count_selected
from .storage import SplitFiles

# Of the data, not of the package.
VERSION = "1.0.0"
OWN_FILES = 'To load your own IDX files, use load_dataset("idxfolder", {}).'


@dataclass
class MnistIdxConfig(IdxConfig):
    """What to load. `data_dir` is a copy of the published files: a folder, a tar or a zip, local or remote."""

    def validate(self) -> None:
        super().validate()
        if self.data_files is not None or (self.name == "tiny" and self.data_dir is not None):
            option = "data_dir" if self.data_files is None else "data_files"
            raise IdxError(f"mnist_idx/{self.name} takes no {option}=. {OWN_FILES.format(f'{option}=…')}")


def _config(name: str, description: str, **options: Any) -> MnistIdxConfig:
    return MnistIdxConfig(name=name, version=VERSION, description=description, **options)


class MnistIdx(IdxBuilder):
    """MNIST, a subset, a miniature, and its relatives."""

    VERSION = datasets.Version(VERSION)
    BUILDER_CONFIG_CLASS = MnistIdxConfig
    BUILDER_CONFIGS = [
        _config("mnist", DATASETS["mnist"].description),
        _config("subset", "A seeded, shuffled subset of MNIST.", num_samples=100, seed=1),
        *(
            _config(name, dataset.description, transpose=dataset.transposed)
            for name, dataset in DATASETS.items()
            if name != "mnist"
        ),
    ]
    DEFAULT_CONFIG_NAME = "mnist"

    def _info(self) -> datasets.DatasetInfo:
        config = self.config
        dataset = DATASETS["mnist" if config.name == "subset" else config.name]
        check_num_samples(config.num_samples, {name: split.num_records for name, split in dataset.splits.items()})
        parts = dataset.label_parts
        splits = datasets.SplitDict(dataset_name=self.dataset_name)
        for name, split in dataset.splits.items():
            count = count_selected(split.num_records, config.num_samples)
            num_bytes = split.num_bytes * count // split.num_records
            splits.add(datasets.SplitInfo(name, num_bytes, count, dataset_name=self.dataset_name))
        return datasets.DatasetInfo(
            description=dataset.description,
            citation=dataset.citation,
            homepage=dataset.homepage,
            license=dataset.license,
            features=make_features(config.name, (28, 28), "uint8", dataset.class_names, parts, config.as_array),
            splits=splits,
            download_size=dataset.sources[0].size,
            dataset_size=sum(split.num_bytes for split in splits.values()),
        )

    def locate_splits(self, dl_manager: Any) -> dict[str, SplitFiles]:
        return self._mirrors.locate(dl_manager)

    def next_source(self, split: str, files: SplitFiles, error: IdxError) -> SplitFiles:
        return self._mirrors.next_source(split, files, error)

    @functools.cached_property
    def _mirrors(self) -> Mirrors:
        """The same in all processes, whatever their environment: files have the number of their source."""
        config = self.config
        return published_mirrors(config.name, config.data_dir, self.download_config, self.base_path)


def published_mirrors(
    name: str,
    data_dir: str | None = None,
    download_config: datasets.DownloadConfig | None = None,
    base_path: str | None = None,
) -> Mirrors:
    """The sources of a published dataset, or a copy of its files in `data_dir`.

    A script of `datasets` 3.x runs from a copy without its data files, which are in `base_path`.
    """
    dataset = DATASETS["mnist" if name == "subset" else name]
    title = f"mnist_idx/{name}"
    if data_dir is not None:
        way_out = f"Expected a copy of {title}. " + OWN_FILES.format(f'data_dir="{data_dir}"')
        return Mirrors(title, dataset, [Source(data_dir, 0)], download_config, way_out)
    sources = [source._replace(url=_package_path(source.url, base_path)) for source in dataset.sources]
    ways_out = ["pass data_dir= with a copy of the files", 'load the miniature "tiny", which needs no network']
    if dataset is DATASETS["mnist"]:
        mirror = os.environ.get(MIRROR_VARIABLE)
        if mirror:
            sources.insert(0, Source(mirror, 0))
        else:
            ways_out.insert(0, f"set {MIRROR_VARIABLE} to a URL or path of the archive")
    return Mirrors(title, dataset, sources, download_config, f"Ways out: {', or '.join(ways_out)}.")


def _package_path(url: str, base_path: str | None) -> str:
    if is_remote(url):
        return url
    beside = Path(__file__).parent / url
    if beside.exists() or base_path is None:
        return str(beside)
    return f"{base_path}/{url}" if is_remote(base_path) else str(Path(base_path).resolve() / url)
