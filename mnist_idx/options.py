"""The options of the builders: each is one field, with its documentation and its check."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TypeVar

import numpy as np

from .errors import IdxError, wrong_option
from .paths import quoted
from .selection import Selection
from .suggestions import closest_names, did_you_mean

T = TypeVar("T")


@dataclass(frozen=True)
class About:
    """What is known of an option, apart from its name and its default."""

    type: str  # in the words of the README
    meaning: str
    expected: str  # in the words of an error
    is_valid: Callable[[object], bool]
    choices: tuple[str, ...] = ()  # the values that it may have, if these are texts


def option(default: T, about: About) -> T:
    """A field of a dataclass that is an option of a builder."""
    return dataclasses.field(default=default, metadata={"about": about})


def options_of(config: "IdxOptions | type[IdxOptions]") -> dict[str, About]:
    """What is known of each option of a config, by the name of the field."""
    known = {}
    for field in dataclasses.fields(config):
        if "about" in field.metadata:
            known[field.name] = field.metadata["about"]
    return known


def check_options(config: "IdxOptions") -> None:
    """Check the values of all options.

    Raises:
        IdxError: an option has a value that it cannot have.
    """
    for name, about in options_of(config).items():
        value = getattr(config, name)
        if about.is_valid(value):
            continue
        meant = closest_names(value, about.choices) if isinstance(value, str) else []
        question = did_you_mean([quoted(choice) for choice in meant])
        raise wrong_option(name, value, about.expected, question)


# How others call what is asked of `load_dataset` in another way.
WORDS_OF_OTHERS = {
    "shuffle": "Pass seed=, for example seed=1, to shuffle the records",
    "train": 'Pass split="train" or split="test"',
    "transform": "Use with_transform of the dataset that is loaded",
    "target_transform": "Use with_transform of the dataset that is loaded",
    "as_supervised": "Take the columns image and label, or load_arrays, which returns pairs",
    "download": "Leave it out: what is missing is downloaded",
    "root": "Pass data_dir=",
    "path": "Pass data_dir=",
    "limit": "Pass num_samples=",
    "labels": "Pass label_names=",
    "class_names": "Pass label_names=",
}


def check_option_names(
    given: Iterable[str], title: str, kind: "type[IdxOptions]", others: Iterable[str] = ()
) -> None:
    """Refuse an option that there is not.

    Args:
        title: the name of the builder.
        kind: has the options of the builder.
        others: names of options that there are as well.

    Raises:
        IdxError: there is no such option. The message lists all.
    """
    own = [*options_of(kind), "data_dir", "data_files"]
    if title == "mnist_idx":
        own.remove("data_files")  # which it refuses, in words of its own
    for name in given:
        if name in own or name in others or name == "data_files":
            continue
        advice = did_you_mean([f"{option}=" for option in closest_names(name, own)])
        if name in options_of(IdxFolderOptions):
            advice = f" It is an option of idxfolder, {IDX_FOLDER}."
        elif WORDS_OF_OTHERS.get(name) is not None:
            advice = f" {WORDS_OF_OTHERS[name]}."
        listed = f"Its own options are {', '.join(own)}; those of load_dataset work as well"
        raise IdxError(f"{title} has no option {name}=.{advice} {listed}.")


def is_integer(value: object, least: float = -math.inf) -> bool:
    """Whether a value is an integer, of Python or of NumPy, that is not smaller than `least`."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def is_list_of_names(value: object) -> bool:
    """Whether a value is a list of different strings, or what serves as one, and not empty."""
    if not isinstance(value, list | tuple | np.ndarray) or len(value) == 0:
        return False
    are_strings = all(isinstance(item, str) for item in value)
    return are_strings and len(set(value)) == len(value)


IDX_FOLDER = 'which loads your own files: load_dataset("idxfolder", data_dir=…)'

NUM_SAMPLES = About(
    type="integer",
    meaning=(
        "this many records of each split, shuffled; of a smaller split all. For the first N in "
        'order, use `split="train[:100]"`'
    ),
    expected="an integer, at least 1",
    is_valid=lambda value: value is None or is_integer(value, 1),
)
SEED = About(
    type="integer",
    meaning=(
        "seed for shuffling. If none of `seed`, `num_samples` and `sampling` is given, records "
        "keep the order of the file"
    ),
    expected="an integer",
    is_valid=lambda value: value is None or is_integer(value),
)
SAMPLINGS = ("first", "uniform")
SAMPLING = About(
    type="string",
    meaning='`"first"`: the first records, shuffled; `"uniform"`: drawn from the whole split',
    expected='"first" or "uniform"',
    is_valid=lambda value: isinstance(value, str) and value in SAMPLINGS,
    choices=SAMPLINGS,
)
AS_ARRAY = About(
    type="bool",
    meaning=(
        "images as arrays (`Array2D`; color: `Array3D`) instead of `Image`; add "
        '`.with_format("numpy")`'
    ),
    expected="True or False",
    is_valid=lambda value: isinstance(value, bool),
)
NUM_SHARDS = About(
    type="integer",
    meaning=(
        "number of parts a split is divided into for parallel reading; at least the number of "
        "workers"
    ),
    expected="an integer, at least 1",
    is_valid=lambda value: is_integer(value, 1),
)
TRANSPOSE = About(
    type="bool",
    meaning="exchange rows and columns of the images",
    expected="True or False",
    is_valid=lambda value: isinstance(value, bool),
)
LABEL_NAMES = About(
    type="list of strings",
    meaning='names of the classes; by default `"0"`, `"1"`, … up to the largest label',
    expected='a list of strings, for example ["cat", "dog"], with a name of its own for each class',
    is_valid=lambda value: value is None or is_list_of_names(value),
)
PREFIX = About(
    type="string",
    meaning="which of several datasets in one place: the start of its file names",
    expected="a string",
    is_valid=lambda value: value is None or isinstance(value, str),
)


@dataclass
class IdxOptions:
    """The options of both builders.

    Attributes:
        num_samples: this many records of each split, shuffled; None keeps all.
        seed: for shuffling. By default 1 with `num_samples` or another `sampling`; without any of
            them, records keep the order of the file.
        sampling: "first" takes the first records of a split and shuffles them, "uniform" draws
            them from all.
        as_array: the image column holds arrays (`Array2D`, or `Array3D` for RGB), not `Image`.
        num_shards: ranges into which a split is divided, for the workers of a stream.
        transpose: exchange rows and columns of the images.
    """

    num_samples: int | None = option(None, NUM_SAMPLES)
    seed: int | None = option(None, SEED)
    sampling: str = option("first", SAMPLING)
    as_array: bool = option(False, AS_ARRAY)
    num_shards: int = option(1, NUM_SHARDS)
    transpose: bool = option(False, TRANSPOSE)

    @property
    def selection(self) -> Selection:
        return Selection(self.num_samples, self.seed, self.sampling)


@dataclass
class IdxFolderOptions(IdxOptions):
    """The options of `idxfolder`, in addition to those of both builders.

    Attributes:
        label_names: names of the classes; by default "0", "1", … up to the largest label.
        prefix: which of several datasets in one place, by the start of their file names.
    """

    label_names: Sequence[str] | None = option(None, LABEL_NAMES)
    prefix: str | None = option(None, PREFIX)
