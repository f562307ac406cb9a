"""The options of the builders are described in the same words wherever they are described."""

import dataclasses
import inspect
import json
import re
from typing import Any, NamedTuple

import pytest
from clients import ROOT
from datasets import NamedSplit
from datasets.data_files import SPLIT_KEYWORDS

from mnist_idx import IdxError, IdxFolderConfig, MnistIdxConfig
from mnist_idx.catalog import DATASETS
from mnist_idx.filenames import SPLIT_WORDS, SPLITS
from mnist_idx.options import (
    About,
    IdxFolderOptions,
    IdxOptions,
    check_options,
    options_of,
)
from mnist_idx.selection import DEFAULT_SEED
from mnist_idx.tools.cli import main

README = (ROOT / "README.md").read_text(encoding="utf-8")
OF_DATASETS = {"data_dir", "data_files"}  # options that `datasets` itself has
KINDS = [IdxOptions, IdxFolderOptions]


class Row(NamedTuple):
    """A row of the table of options in the README."""

    type: str
    default: str
    builders: str
    meaning: str


def rows_of_readme() -> dict[str, Row]:
    """Name of an option -> its row."""
    section = README.partition("## Options\n")[2].partition("\n## ")[0]
    rows = {}
    for line in section.splitlines():
        if not line.startswith("| `"):
            continue
        name, *cells = line.strip("|").split("|")
        rows[name.strip(" `")] = Row(*(cell.strip() for cell in cells))
    return rows


ROWS = rows_of_readme()
OPTIONS = options_of(IdxFolderOptions)
each_option = pytest.mark.parametrize("name", OPTIONS)


def default_of(name: str) -> Any:
    """The default of an option of the builders."""
    (field,) = [field for field in dataclasses.fields(IdxFolderOptions) if field.name == name]
    return field.default


def as_written(value: object) -> str:
    """A default in the README: code, unless it is a number."""
    if type(value) is int:
        return str(value)
    text = json.dumps(value) if isinstance(value, str) else repr(value)
    return f"`{text}`"


def test_the_readme_lists_all_options_and_no_others() -> None:
    assert ROWS.keys() - OF_DATASETS == OPTIONS.keys()
    assert ROWS.keys() >= OF_DATASETS


@each_option
def test_the_readme_says_what_the_option_says(name: str) -> None:
    row, about = ROWS[name], OPTIONS[name]
    assert row.type == about.type
    assert row.meaning == about.meaning
    assert row.builders == ("both" if name in options_of(IdxOptions) else "`idxfolder`")
    assert row.default.partition("; ")[0] == as_written(default_of(name))


def test_the_readme_says_where_defaults_are_others() -> None:
    others = {}
    for name, row in ROWS.items():
        _, found, other = row.default.partition("; ")
        if found:
            others[name] = other
    subset = DATASETS["subset"]
    transposed = {name for name, data in DATASETS.items() if data.transposed}
    assert transposed == {name for name in DATASETS if name.startswith("emnist_")}
    assert others == {
        "num_samples": f"{subset.num_samples} for `subset`",
        "seed": f"{DEFAULT_SEED} with `num_samples`",
        "transpose": "`True` for `emnist_*`",
    }
    assert subset.seed in (None, DEFAULT_SEED)


@pytest.mark.parametrize("kind", KINDS)
def test_each_field_is_an_option_and_documented(kind: type) -> None:
    fields = {field.name for field in dataclasses.fields(kind)}
    assert fields == options_of(kind).keys()
    inherited = {name for base in kind.__bases__ for name in getattr(base, "__annotations__", {})}
    attributes = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2]
    assert set(re.findall(r"(?m)^    (\w+):", attributes)) == fields - inherited


@pytest.mark.parametrize(
    ("config", "options"), [(MnistIdxConfig, IdxOptions), (IdxFolderConfig, IdxFolderOptions)]
)
def test_the_configs_have_the_options(config: type, options: type) -> None:
    assert options_of(config) == options_of(options)


@each_option
def test_an_option_has_words_and_accepts_its_default(name: str) -> None:
    about = OPTIONS[name]
    assert isinstance(about, About)
    assert about.type and about.meaning and about.expected
    assert about.is_valid(default_of(name))
    assert not about.is_valid(object())
    with pytest.raises(IdxError, match=re.escape(about.expected)):
        check_options(IdxFolderOptions(**{name: object()}))


@pytest.mark.parametrize("command", ["push", "export"])
def test_the_command_line_has_the_same_defaults(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main([command, "--help"])
    usage, _, described = capsys.readouterr().out.partition("options:")
    assert "-n N" in usage
    text = " ".join(described.split())
    shown = dict(re.findall(r"--(num-samples|seed|sampling) .*?\(default: (\w+)\)", text))
    assert shown == {
        "num-samples": str(DATASETS["subset"].num_samples),
        "seed": str(DEFAULT_SEED),
        "sampling": default_of("sampling"),
    }
    meaning, _, _ = OPTIONS["num_samples"].meaning.partition(";")
    assert f"of subset: {meaning}" in text


@pytest.mark.parametrize("split", SPLIT_WORDS)
def test_the_words_for_a_split_are_those_of_datasets(split: str) -> None:
    of_datasets = SPLIT_KEYWORDS[NamedSplit(split)]
    assert set(of_datasets) <= set(SPLIT_WORDS[split])
    assert {SPLITS[word] for word in of_datasets} == {split}


def test_the_splits_are_those_of_datasets_in_their_order() -> None:
    assert [str(split) for split in SPLIT_KEYWORDS] == list(SPLIT_WORDS)


def test_the_only_word_of_our_own_is_that_of_mnist() -> None:
    of_datasets: set[str] = set()
    for words in SPLIT_KEYWORDS.values():
        of_datasets.update(words)
    assert set(SPLITS) - of_datasets == {"t10k"}
