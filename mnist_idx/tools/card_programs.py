"""The programs in a card, and what they print: whoever runs them can check the card.

They load from `card_place.ANYWHERE`, until it is known where the card goes.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ..selection import DEFAULT_SEED
from .card_facts import ConfigFacts, SplitFacts
from .card_place import ANYWHERE
from .image_folder import quoted

LOAD = """\
from datasets import load_dataset

ds = load_dataset("{place}")
print(ds.num_rows)
{show}

# To store nothing on disk, read it where it is: for record in stream: …
stream = load_dataset("{place}", split={split}, streaming=True)
print(stream.column_names)"""
SHOW_PICTURE = "print(ds[{split}][0])"
# An array is printed as long lists of numbers.
SHOW_ARRAY = """\
print(np.shape(ds[{split}][0]["image"]))"""
LOAD_OTHERS = """
for name in [{names}]:
    print(name, load_dataset("{place}", name).num_rows)"""
HASH = """\
import hashlib
from datasets import load_dataset

def digest(records):
    hasher = hashlib.sha256()
    for record in records:
        hasher.update(record["image"].tobytes() + bytes([record["label"]]))
    return hasher.hexdigest()

"""
HASH_ONE = """\
for split, records in load_dataset("{place}").items():
    print(split, digest(records))"""
HASH_SEVERAL = """\
for name in [{names}]:
    for split, records in load_dataset("{place}", name).items():
        print(name, split, digest(records))"""
SELECT = """\
import random
from datasets import load_dataset

records = load_dataset("{place}", {whole}, split={split})
{order}
selected = records.select(order)
print(selected["label"][:10])"""
SHUFFLE = """\
order = list(range({count}))
random.Random({seed}).shuffle(order)"""
DRAW = "order = random.Random({seed}).sample(range({num_records}), {count})"


class Program(NamedTuple):
    """A program, and what it prints."""

    code: str
    prints: str


def load_program(configs: Sequence[ConfigFacts]) -> Program:
    """Load the default config and look at its first record; then load the others."""
    default, *others = configs
    split, facts = next(iter(default.splits.items()))
    names = {"place": ANYWHERE, "split": quoted(split)}
    show = SHOW_ARRAY if default.as_array else SHOW_PICTURE
    code = LOAD.format(show=show.format(**names), **names)
    shown = str(default.layout.shape) if default.as_array else str(shown_record(facts))
    # Nothing is read of the stream: `datasets` may abort at the end of a program that has left one
    # before its end.
    lines = [str(default.sizes), shown, str(column_names(facts))]
    if default.as_array:
        code = f"import numpy as np\n{code}"
    if others:
        listed = ", ".join(quoted(str(config.name)) for config in others)
        code += "\n" + LOAD_OTHERS.format(names=listed, **names)
        lines += [f"{config.name} {config.sizes}" for config in others]
    return Program(code, "\n".join(lines))


class _Picture(NamedTuple):
    """A picture, as Pillow shows it, but for its address in memory."""

    rows: int
    columns: int
    mode: str

    def __repr__(self) -> str:
        size = f"{self.columns}x{self.rows}"
        return f"<PIL.PngImagePlugin.PngImageFile image mode={self.mode} size={size}>"


def shown_record(split: SplitFacts) -> dict[str, object]:
    """The first record of pictures, as `datasets` shows it."""
    first = split.first
    rows, columns = first.images.shape[1:3]
    mode = "L" if first.images.ndim == 3 else "RGB"
    record: dict[str, object] = {"image": _Picture(rows, columns, mode)}
    if first.labels is not None:
        record["label"] = first.labels[0]
    if first.details is not None:
        record["label_details"] = first.details[0]
    return record


def column_names(split: SplitFacts) -> list[str]:
    """The columns of a record."""
    names = ["image"]
    if split.first.labels is not None:
        names.append("label")
    if split.first.details is not None:
        names.append("label_details")
    return names


def digest_program(configs: Sequence[ConfigFacts]) -> Program:
    """Hash all records of all configs."""
    lines: list[str] = []
    for config in configs:
        for split, facts in config.splits.items():
            assert facts.content is not None
            name = f"{config.name} " if len(configs) > 1 else ""
            lines.append(f"{name}{split} {facts.content.sha256}")
    names = ", ".join(quoted(str(config.name)) for config in configs)
    code = HASH + (HASH_ONE if len(configs) == 1 else HASH_SEVERAL)
    return Program(code.format(place=ANYWHERE, names=names), "\n".join(lines))


def selection_program(config: ConfigFacts, whole: ConfigFacts) -> Program:
    """Select from a config what another one has of the same records."""
    split, facts = next(iter(config.splits.items()))
    selection = config.selection
    numbers = {
        "count": facts.num_records,
        "num_records": whole.splits[split].num_records,
        "seed": DEFAULT_SEED if selection.seed is None else selection.seed,
    }
    order = SHUFFLE if selection.sampling == "first" else DRAW
    code = SELECT.format(
        place=ANYWHERE,
        whole=quoted(str(whole.name)),
        split=quoted(split),
        order=order.format(**numbers),
    )
    return Program(code, str(facts.first.labels))
