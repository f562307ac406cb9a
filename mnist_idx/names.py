"""What the names of IDX files mean: which data set, which split, images or labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .idx import IdxError
from .stream import Locator

PACKING = re.compile(r"\.(gz|gzip|bz2|xz)$", re.IGNORECASE)
ROLES = {
    "image": "images",
    "images": "images",
    "img": "images",
    "imgs": "images",
    "label": "labels",
    "labels": "labels",
}
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
# Words for the format and the element type, which say nothing else.
FORMAT = re.compile(r"idx\d*|u?byte|u?int\d*|short|long|float\d*|double|data|raw")
SPLIT_ORDER = {"train": 0, "validation": 1, "test": 2}
MAX_LISTED = 20

Pair = tuple[Locator, "Locator | None"]


class Meaning(NamedTuple):
    """What a name says.

    Attributes:
        data_set: what is left of the name, and of the folders before it, without the words that mean something.
        split: "train", "test" or "validation"; "" where the name does not say.
        role: "images" or "labels".
    """

    data_set: str
    split: str
    role: str


def base_name(name: str) -> str:
    """The name of a member without its folder, and without the ending that tells how it is packed."""
    return PACKING.sub("", re.split(r"[/\\]", name)[-1])


def is_same_name(name: str, published: str) -> bool:
    """Whether a member has the name of a published file: `train-images.idx3-ubyte` is `train-images-idx3-ubyte`."""
    return re.sub(r"[._]", "-", base_name(name).lower()) == published


def split_name(name: str) -> str:
    """The name by which `datasets` knows a split: "t10k" is "test"."""
    return SPLITS.get(name.lower(), name)


def read_split(name: str) -> str:
    """The split that a name tells; "" where it does not."""
    meaning = read_name(name)
    return meaning.split if meaning else ""


def read_name(name: str) -> Meaning | None:
    """What a member is, by its name; None where the name is not that of an IDX file.

    `train-images-idx3-ubyte`, `emnist-letters-test-labels-idx1-ubyte.gz`, `test_images.idx`, `valid/labels.idx1-ubyte`.
    """
    *folders, file = re.split(r"[/\\]", name)
    words = _words(base_name(file))
    roles = [ROLES[word.lower()] for word in words if word.lower() in ROLES]
    # What packers of other systems leave behind, and files that only belong to IDX files: checksums, pictures.
    if file.startswith(".") or "__MACOSX" in folders or not roles or not _is_known(words[-1]):
        return None
    splits = _splits_in(words)
    # A file says itself which split it is, or the folder nearest to it does.
    for folder in reversed(folders):
        splits = splits or _splits_in(_words(folder))
    if len(splits) > 1:
        return None
    places = [folder for folder in folders if not all(map(_is_known, _words(folder)))]
    own = "-".join(word for word in words if not _is_known(word))
    return Meaning("/".join([*places, own]) if own else "/".join(places), "".join(splits), roles[-1])


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[-._ ]+", text) if word]


def _is_known(word: str) -> bool:
    word = word.lower()
    return word in ROLES or word in SPLITS or FORMAT.fullmatch(word) is not None


def _splits_in(words: Iterable[str]) -> set[str]:
    return {SPLITS[word.lower()] for word in words if word.lower() in SPLITS}


def pair_members(members: Sequence[Locator], data_set: str | None = None, root: str = "") -> dict[str, Pair]:
    """Find out by their names which members are the images and which the labels of which split.

    Args:
        members: what there is in a folder or an archive.
        data_set: which of several data sets to take: its name, or words of it.
        root: the folder whose name is no part of the names of its members.

    Returns:
        For each split its images, and its labels if there are any; "train" first.

    Raises:
        IdxError: the names do not tell.
    """
    told = _told(members, root)
    name = _pick_data_set(sorted({meaning.data_set for meaning, _ in told}), data_set, members)
    splits: dict[str, dict[str, list[Locator]]] = {}
    for meaning, member in told:
        if meaning.data_set == name:
            splits.setdefault(meaning.split, {}).setdefault(meaning.role, []).append(member)
    if "" in splits and len(splits) > 1:
        raise _not_told_apart(members)
    order = sorted(splits.items(), key=lambda item: (SPLIT_ORDER.get(item[0], 3), item[0]))
    return {split or "train": _pair(split or "train", roles, members) for split, roles in order}


def data_sets_of(members: Sequence[Locator], root: str = "") -> list[str]:
    """The names of the data sets that there are by the names of the members."""
    return sorted({meaning.data_set for meaning, _ in _told(members, root)})


def pair_files(files: Sequence[Locator]) -> Pair:
    """Which of the one or two files that someone has named for a split is which: by their names, else by their order.

    Raises:
        IdxError: there are more than two.
    """
    if len(files) > 2:
        raise IdxError(
            f"A split has a file of images and a file of labels, found {len(files)}: {_listed(files)}. "
            'Name them like this: data_files={"train": [IMAGES, LABELS]}.'
        )
    meanings = [read_name(base_name(file.name)) for file in files]
    if [meaning and meaning.role for meaning in meanings] == ["labels", "images"]:
        files = files[::-1]
    return files[0], files[1] if len(files) == 2 else None


def _told(members: Sequence[Locator], root: str) -> list[tuple[Meaning, Locator]]:
    """The members whose names say something, with what they say."""
    told: list[tuple[Meaning, Locator]] = []
    for member in members:
        meaning = read_name(member.name.removeprefix(root))
        if meaning is not None:
            told.append((meaning, member))
    return _with_own_splits(_without_common_folder(told))


def _without_common_folder(told: list[tuple[Meaning, Locator]]) -> list[tuple[Meaning, Locator]]:
    """Names of data sets without the folder that all of them are in."""
    folders = {meaning.data_set.rpartition("/")[0] for meaning, _ in told}
    if len(folders) != 1:
        return told
    return [(meaning._replace(data_set=meaning.data_set.rpartition("/")[2]), member) for meaning, member in told]


def _with_own_splits(told: list[tuple[Meaning, Locator]]) -> list[tuple[Meaning, Locator]]:
    """Beside splits with common names, a file without a split has one of its own name: `extra-images`."""
    data_sets = {meaning.data_set for meaning, _ in told if meaning.split}
    if len(data_sets) != 1:
        return told
    common = data_sets.pop()
    result = []
    for meaning, member in told:
        own = meaning.data_set.removeprefix(common).strip("-/")
        if not meaning.split and own and meaning.data_set.startswith(common):
            meaning = Meaning(common, re.sub(r"\W", "_", own), meaning.role)
        result.append((meaning, member))
    return result


def _pick_data_set(names: list[str], wanted: str | None, members: Sequence[Locator]) -> str:
    if not names:
        raise _not_told_apart(members)
    if wanted is None:
        picked = names
    else:
        words = set(_words(wanted.lower()))
        picked = [name for name in names if name.lower() == wanted.lower()] or [
            name for name in names if words <= set(re.split(r"[-./_ ]+", name.lower()))
        ]
    if len(picked) != 1:
        shown = ", ".join(name or "(without a name)" for name in names[:MAX_LISTED])
        found = f"{wanted!r} is {'several of' if picked else 'none of'} them" if wanted is not None else ""
        raise IdxError(
            f"There are several data sets by the names of the files: {shown}. {found}".rstrip()
            + f'{"." if found else ""} Say which one with data_set="{next(filter(None, picked or names), "")}".'
        )
    return picked[0]


def _pair(split: str, roles: dict[str, list[Locator]], members: Sequence[Locator]) -> Pair:
    if "images" not in roles:
        raise IdxError(
            f"The split {split!r} has labels ({_listed(roles['labels'])}) but no images. {_way_out(members)}"
        )
    chosen = {role: _choose(candidates, members) for role, candidates in roles.items()}
    return chosen["images"], chosen.get("labels")


def _choose(candidates: list[Locator], members: Sequence[Locator]) -> Locator:
    """Of members with the same meaning the one to read."""
    if len({PACKING.sub("", member.name) for member in candidates}) > 1:
        raise _not_told_apart(members)
    # A file and a packed copy of it, as unpacking with other tools leaves them. In a tar, what comes later replaces.
    return min(reversed(candidates), key=lambda member: PACKING.search(member.name) is not None)


def _not_told_apart(members: Sequence[Locator]) -> IdxError:
    return IdxError(f"The IDX files cannot be told apart by their names: found {_listed(members)}. {_way_out(members)}")


def _way_out(members: Sequence[Locator]) -> str:
    """The line to write, with the names that were found where they are files of their own."""
    files = [member for member in members if member.name == member.path]
    by_role = {meaning.role: f'"{file.path}"' for file in files[::-1] if (meaning := read_name(base_name(file.name)))}
    images, labels = by_role.get("images", "IMAGES"), by_role.get("labels", "LABELS")
    way = "Name the files" if files else "Unpack the archive and name the files"
    return f'{way}: data_files={{"train": [{images}, {labels}], "test": [IMAGES, LABELS]}}.'


def _listed(members: Sequence[Locator]) -> str:
    more = f" and {len(members) - MAX_LISTED} more" if len(members) > MAX_LISTED else ""
    return (", ".join(member.name for member in members[:MAX_LISTED]) or "nothing") + more
