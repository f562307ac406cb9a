"""What goes into the processes of `num_proc` and the workers of a stream is the same there."""

import pickle
from collections.abc import Callable
from types import ModuleType
from typing import Any

import dill
import pytest
from idx_files import four_files, random_images, random_labels, write_archive
from package_classes import classes_with

from mnist_idx import IdxError, IdxFolder, MnistIdx, TransferError
from mnist_idx.builder import IdxBuilder
from mnist_idx.byte_ranges import UnexpectedAnswer
from mnist_idx.copies import UnverifiableError
from mnist_idx.errors import DamagedError, wrong_option
from mnist_idx.failover import Locator, SplitSource, YieldedRecords
from mnist_idx.fetching import InPlace
from mnist_idx.folder import Folder
from mnist_idx.members import Access, Member, SplitFiles, open_member
from mnist_idx.mirrors import published_mirrors
from mnist_idx.records import ReaderPool
from mnist_idx.selection import Selection
from mnist_idx.tools.record_values import UnlabeledSplit

ALL = Selection(None, None, "first")
FILES = four_files(
    (random_images(70, 9, 7), random_labels(70)),
    (random_images(30, 9, 7, seed=1), random_labels(30, seed=1)),
)
pickled_when = pytest.mark.parametrize(
    "is_used_before",
    [pytest.param(False, id="before-use"), pytest.param(True, id="after-use")],
)
each_pickler = pytest.mark.parametrize("pickler", [pickle, dill], ids=["pickle", "dill"])


@pytest.fixture(scope="module")
def forward_tar(tmp_path_factory: pytest.TempPathFactory) -> str:
    """IDX files in a tar that can only be read forwards."""
    return str(write_archive(tmp_path_factory.mktemp("data") / "set.tar.bz2", FILES))


def pickled(original: Any, pickler: ModuleType) -> Any:
    """What is left of an object after its way into another process."""
    again = pickler.loads(pickler.dumps(original))
    assert type(again) is type(original)
    assert again is not original
    return again


def train_files(tar: str) -> SplitFiles:
    """The training files of a tar."""
    return Folder(tar, None, Access()).locate(InPlace()).splits["train"]


def read_records(source: SplitSource, files: SplitFiles) -> list[Any]:
    """Places, images and labels of the first 50 records, as lists."""
    records = []
    for place, batch in source.read("train", files, [(0, 50)], "0123456789"):
        records.append((place, batch.images.tolist(), batch.labels.tolist()))
    return records


# For each class: what is made of the path of a tar, and what a use of it gives.


def make_access(tar: str) -> Access:
    return Access()


def use_access(access: Access, tar: str) -> bytes:
    with open_member(train_files(tar).images, access) as stream:
        return stream.readall()


def make_member(tar: str) -> Member:
    return train_files(tar).images


def use_member(member: Member, tar: str) -> dict[Member, str]:
    return {member: member.title}


def use_split_files(files: SplitFiles, tar: str) -> dict[SplitFiles, Any]:
    return {files: files.members}


def make_pool(tar: str) -> ReaderPool:
    return ReaderPool(Access())


def use_pool(pool: ReaderPool, tar: str) -> list[Any]:
    with pool.borrow(train_files(tar)) as reader:
        return [batch.images.tolist() for batch in reader.batches(0, 20)]


def make_split_source(tar: str) -> SplitSource:
    return SplitSource(Folder(tar, None, Access()), Access(), Selection(60, 1, "first"), False)


def use_split_source(source: SplitSource, tar: str) -> list[Any]:
    return read_records(source, train_files(tar))


def make_yielded_records(tar: str) -> YieldedRecords:
    return YieldedRecords()


def use_yielded_records(yielded: YieldedRecords, tar: str) -> Any:
    return yielded.has_any, vars(yielded)


def make_mirrors(tar: str) -> Locator:
    return published_mirrors("tiny", Access())


def make_folder(tar: str) -> Locator:
    return Folder(tar, None, Access())


def use_locator(locator: Locator, tar: str) -> Any:
    located = locator.locate(InPlace())
    source = SplitSource(locator, Access(), ALL, transpose=False)
    return located, read_records(source, located.splits["train"])


def make_mnist_idx(tar: str) -> IdxBuilder:
    return MnistIdx(config_name="tiny", as_array=True)


def make_idx_folder(tar: str) -> IdxBuilder:
    return IdxFolder(data_dir=tar)


def use_builder(builder: IdxBuilder, tar: str) -> list[Any]:
    located = builder.locate(InPlace())
    return read_records(builder.source, located.splits["train"])


@each_pickler
@pickled_when
@pytest.mark.parametrize(
    ("make", "use"),
    [
        pytest.param(make_access, use_access, id="Access"),
        pytest.param(make_member, use_member, id="Member"),
        pytest.param(train_files, use_split_files, id="SplitFiles"),
        pytest.param(make_pool, use_pool, id="ReaderPool"),
        pytest.param(make_split_source, use_split_source, id="SplitSource"),
        pytest.param(make_yielded_records, use_yielded_records, id="YieldedRecords"),
        pytest.param(make_mirrors, use_locator, id="Mirrors"),
        pytest.param(make_folder, use_locator, id="Folder"),
        pytest.param(make_mnist_idx, use_builder, id="MnistIdx"),
        pytest.param(make_idx_folder, use_builder, id="IdxFolder"),
    ],
)
def test_what_was_pickled_gives_the_same(
    make: Callable[[str], Any],
    use: Callable[[Any, str], Any],
    is_used_before: bool,
    pickler: ModuleType,
    forward_tar: str,
) -> None:
    original = make(forward_tar)
    if is_used_before:
        use(original, forward_tar)
    again = pickled(original, pickler)
    assert use(again, forward_tar) == use(original, forward_tar)


def test_pickled_yielded_records_are_none() -> None:
    yielded = YieldedRecords()
    yielded.has_any = True
    yielded.begin(0).length = 5
    again = pickled(yielded, pickle)
    assert not again.has_any
    assert again.are_in(lambda start, stop: iter(()))


# Errors


@each_pickler
@pytest.mark.parametrize(
    "error",
    [
        pytest.param(IdxError("one", "two", command_line="zwei"), id="IdxError"),
        pytest.param(wrong_option("num_samples", 0, "more"), id="of-a-wrong-option"),
        pytest.param(DamagedError("damaged"), id="DamagedError"),
        pytest.param(TransferError("failed", command_line="x"), id="TransferError"),
        pytest.param(UnverifiableError("unknown", command_line="x"), id="UnverifiableError"),
        pytest.param(UnlabeledSplit("none", command_line="x"), id="UnlabeledSplit"),
    ],
)
def test_a_pickled_error_says_the_same(error: IdxError, pickler: ModuleType) -> None:
    again = pickled(error, pickler)
    assert str(again) == str(error)
    assert again.args == error.args
    assert again.for_command_line() == error.for_command_line()


@each_pickler
def test_a_pickled_unexpected_answer_says_the_same(pickler: ModuleType) -> None:
    assert str(pickled(UnexpectedAnswer("odd"), pickler)) == "odd"


def test_all_errors_are_tested() -> None:
    kinds = {kind for kind in classes_with("for_command_line") if issubclass(kind, IdxError)}
    assert kinds == {IdxError, DamagedError, TransferError, UnverifiableError, UnlabeledSplit}
