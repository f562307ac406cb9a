"""What a mistyped name may have meant: of configs, builders, options, splits and commands."""

from collections.abc import Iterable, Mapping, Sequence

from .catalog import DATASETS
from .errors import IdxError, shown_value
from .paths import quoted

BUILDERS = ("mnist_idx", "idxfolder")
# Names of splits by which others call records that are set aside from those of training.
SET_ASIDE = {"val", "valid", "validation", "dev", "eval"}
LEAST_RESEMBLANCE = 0.65  # of 1; from here on, one name is taken for a mistyped other


def closest_names(word: str, names: Iterable[str]) -> list[str]:
    """The names that a word may have meant, none if it resembles none.

    Letters of the other case and hyphens do not count. A word that is a whole part of names, or
    the start of them, means these. Else it means the one name that it resembles most.

    >>> closest_names("Fashion-MNIST", DATASETS), closest_names("fashion", DATASETS)
    (['fashion_mnist'], ['fashion_mnist'])
    >>> closest_names("mnsit", DATASETS), closest_names("cifar", DATASETS)
    (['mnist'], [])
    """
    import difflib  # takes as long to import as half of this package, and few need it

    by_plain = {_plain(name): name for name in names}
    plain = _plain(word)
    if not plain:
        return []
    if plain in by_plain:
        return [by_plain[plain]]
    parts = [name for known, name in by_plain.items() if f"_{plain}_" in f"_{known}_"]
    if parts:
        return parts
    starts = [name for known, name in by_plain.items() if known.startswith(plain)]
    if starts:
        return starts
    similar = difflib.get_close_matches(plain, by_plain, n=1, cutoff=LEAST_RESEMBLANCE)
    return [by_plain[known] for known in similar]


def _plain(name: str) -> str:
    return name.strip().strip("-").lower().replace("-", "_").replace(" ", "_")


def alternatives(texts: Sequence[str]) -> str:
    """Texts of which one is to be chosen.

    >>> alternatives(["a", "b", "c"])
    'a, b or c'
    """
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} or {texts[-1]}"


def did_you_mean(texts: Sequence[str]) -> str:
    """A question, with a space before it, to add to a message; "" without texts to choose from.

    >>> did_you_mean(["train", "test"]), did_you_mean([])
    (' Did you mean train or test?', '')
    """
    return f" Did you mean {alternatives(texts)}?" if texts else ""


# Configs and builders


def check_config_name(name: object) -> None:
    """Refuse what is no config of `mnist_idx`.

    Raises:
        IdxError: it is none. The message lists all, and the one that may have been meant.
    """
    if isinstance(name, str) and name in DATASETS:
        return
    if not isinstance(name, str):
        raise IdxError(f"Found {shown_value(name)} as the name of a config. {_list_of_configs()}")
    meant = closest_names(name, DATASETS)
    question = did_you_mean([quoted(config) for config in meant])
    if name in ("train", "test"):
        question = f" Did you mean split={quoted(name)}?"
    raise IdxError(f"mnist_idx has no config {quoted(name)}.{question} {_list_of_configs()}")


def _list_of_configs() -> str:
    return f"The configs are {', '.join(DATASETS)}."


def meant_datasets(path: str) -> list[tuple[str, ...]]:
    """What an unknown name of a dataset may have meant: builder, or builder and config.

    >>> meant_datasets("mnist-idx"), meant_datasets("tiny"), meant_datasets("squad")
    ([('mnist_idx',)], [('mnist_idx', 'tiny')], [])
    >>> meant_datasets("mnist_idx/kmnist")
    [('mnist_idx', 'kmnist')]
    """
    builder, separator, config = path.partition("/")
    if _plain(path) == "idx":
        return [("idxfolder",)]
    if not separator:
        exact = [name for name in BUILDERS if _plain(path).replace("_", "") == _joined(name)]
        if exact:
            return [(exact[0],)]
        configs = closest_names(path, DATASETS)
        if configs:
            return [("mnist_idx", name) for name in configs]
        return [(name,) for name in closest_names(path, BUILDERS)]
    if closest_names(builder, BUILDERS) != ["mnist_idx"]:
        return []
    return [("mnist_idx", name) for name in closest_names(config, DATASETS)]


def _joined(name: str) -> str:
    return name.replace("_", "")


def calls_of(function: str, path: str) -> list[str]:
    """Calls in code, with what an unknown name of a dataset may have meant.

    >>> calls_of("load_dataset", "Tiny")
    ['load_dataset("mnist_idx", "tiny")']
    """
    calls = []
    for arguments in meant_datasets(path):
        calls.append(f"{function}({', '.join(map(quoted, arguments))})")
    return calls


# Splits


def unknown_split(
    spec: object, name: str, sizes: Mapping[str, int | None], takes_parts: bool = True
) -> IdxError:
    """The error of a split that is not there.

    Args:
        spec: what was asked for, with `name` in it.
        sizes: records of the splits that there are; None if that is not known.
        takes_parts: whether parts of splits can be asked for: not of a stream.
    """
    rest = ", or a part of one" if takes_parts else ""
    expected = f"expected {alternatives([quoted(known) for known in sizes]) or 'none'}{rest}"
    typed_expected = f"expected {alternatives(list(sizes)) or 'none'}{rest}"
    advice = typed_advice = ""
    meant = closest_names(name, sizes)
    if meant:
        advice = did_you_mean([quoted(known) for known in meant])
        typed_advice = did_you_mean(meant)
    elif _plain(name) in SET_ASIDE and "train" in sizes and takes_parts:
        first, second = _divided(sizes["train"])
        advice = f" Take one from train: split=[{quoted(first)}, {quoted(second)}]."
        typed_advice = f" Take one from train: {first} and {second}."
    elif _plain(name) in SET_ASIDE and "train" in sizes:
        advice = " Take one from train: some records with take, the others with skip."
    return IdxError(
        f"split={shown_value(spec)}: {expected}.{advice}",
        command_line=f"--split {spec}: {typed_expected}.{typed_advice}",
    )


def _divided(size: int | None) -> tuple[str, str]:
    """The split `train` in two parts: of MNIST, the 55,000 and 5,000 records that many take."""
    bound = "90%" if size is None else str(size * 11 // 12)
    return f"train[:{bound}]", f"train[{bound}:]"
