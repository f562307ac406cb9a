"""What the names of IDX files mean: which data set, which split, images or labels."""

from __future__ import annotations

import re
from typing import NamedTuple

from .idx import IdxError
from .stream import Locator

PACKING = re.compile(r"\.(gz|gzip|bz2|xz)$")
# "train-images-idx3-ubyte", "emnist-letters-train-labels-idx1-ubyte", "test_images.idx", "qmnist-test-labels-idx2-int"
PATTERN = re.compile(
    r"(?P<head>.*?)(?P<role>image|label)s?(?:[-._ ](?:idx\d*|u?byte|u?int\d*|short|long|float\d*|double|data))*"
)
SPLITS = {
    "train": "train",
    "training": "train",
    "t10k": "test",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
}


class Meaning(NamedTuple):
    """What a member is: `role` is "images" or "labels"; `data_set` and `split` are "" where the name does not say."""

    data_set: str
    split: str
    role: str


def base_name(name: str) -> str:
    """The name of a member without its folder, without the ending that tells how it is packed, in lower case."""
    return PACKING.sub("", re.split(r"[/\\]", name)[-1].lower())


def is_same_name(name: str, published: str) -> bool:
    """Whether a member has the name of a published file: `train-images.idx3-ubyte` is `train-images-idx3-ubyte`."""
    return re.sub(r"[._]", "-", base_name(name)) == published


def read_name(name: str) -> Meaning | None:
    """What a member is, by its name; None where the name is not that of an IDX file."""
    match = PATTERN.fullmatch(base_name(name))
    if match is None:
        return None
    words = [word for word in re.split(r"[-._ ]+", match["head"]) if word]
    split = next((SPLITS[word] for word in words if word in SPLITS), "")
    data_set = "-".join(word for word in words if word not in SPLITS)
    return Meaning(data_set, split, match["role"] + "s")


def pair_members(
    members: list[Locator], data_set: str | None, split: str | None
) -> dict[str, tuple[Locator, Locator | None]]:
    """Find out which members are the images and which are the labels of which split.

    Args:
        members: what there is.
        data_set: which of several data sets to take.
        split: the split to take, where each is given its own files; all when None.

    Returns:
        For each split its images and its labels, if there are any.

    Raises:
        IdxError: the names do not tell.
    """
    found: dict[tuple[str, str], dict[str, Locator]] = {}
    for member in members:
        meaning = read_name(member.name)
        if meaning is not None and data_set in (None, meaning.data_set):
            found.setdefault((meaning.data_set, meaning.split or split or "train"), {})[meaning.role] = member
    if split is not None:
        found = {key: roles for key, roles in found.items() if key[1] == split} or found
        found = {(key[0], split): roles for key, roles in found.items()}
    names = ", ".join(member.name for member in members) or "nothing"
    if not found or len({key[0] for key in found}) > 1 or any("images" not in roles for roles in found.values()):
        raise IdxError(
            f"The IDX files cannot be told apart by their names. Found: {names}. Name them one by one: "
            'data_files={"train": [IMAGES, LABELS], "test": [IMAGES, LABELS]}.'
        )
    order = {"train": 0, "validation": 1, "test": 2}
    splits = sorted(((key[1], roles) for key, roles in found.items()), key=lambda item: order.get(item[0], 3))
    return {name: (roles["images"], roles.get("labels")) for name, roles in splits}
