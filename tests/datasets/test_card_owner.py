"""Whose text a card has: what its owner has written is never lost, the rest is written anew."""

from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest
import yaml
from cards import parse_card
from hub_client import log_in
from hub_server import HubServer, Repo
from idx_files import (
    TRAIN_IMAGES,
    TRAIN_LABELS,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)

from mnist_idx import IdxError, export, push_to_hub
from mnist_idx.tools.cli import main

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx")
README = "README.md"
FEW = {"tiny": {"num_samples": 30}}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub, and this process as a client of it, logged in as alice."""
    with HubServer() as hub:
        log_in(hub, monkeypatch)
        yield hub


@pytest.fixture
def repo(hub: HubServer) -> Repo:
    """A repository with the miniature in it, and its card."""
    push_to_hub("digits", "tiny")
    return hub.repos["alice/digits"]


def card_there(repo: Repo) -> str:
    return repo.files()[README].decode()


def change_card(repo: Repo, text: str) -> None:
    """What the owner does on the page of the Hub."""
    repo.commit("main", {**repo.files(), README: text.encode()}, "my words")


def counts(card: str) -> dict[str, int]:
    """The sizes of splits that a card tells `load_dataset`."""
    info = parse_card(card).metadata["dataset_info"]
    return {split["name"]: split["num_examples"] for split in info["splits"]}


def test_what_was_generated_is_written_anew(repo: Repo) -> None:
    result = push_to_hub("digits", FEW)
    assert not result.keeps_card
    assert "30 records of `train`" in card_there(repo)
    assert counts(card_there(repo)) == {"train": 30, "test": 30}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(
            "## Limitations\n", "## My findings\n\nAll fine.\n\n## Limitations\n", id="new"
        ),
        pytest.param("It is small, clean", "It is tiny, clean", id="a changed word"),
        pytest.param("license: cc-by-sa-3.0\n", "license: other\n", id="a changed license"),
        pytest.param("- idx\n", "- idx\n- mine\n", id="a new tag"),
    ],
)
def test_what_the_owner_has_changed_is_kept(old: str, new: str, repo: Repo) -> None:
    changed = card_there(repo).replace(old, new, 1)
    assert changed != card_there(repo)
    change_card(repo, changed)
    result = push_to_hub("digits", FEW)
    assert result.keeps_card
    metadata, text = parse_card(card_there(repo))
    expected, expected_text = parse_card(changed)
    assert text == expected_text
    assert counts(card_there(repo)) == {"train": 30, "test": 30}
    assert metadata.pop("size_categories") == ["n<1K"]
    for name in ("size_categories", "dataset_info", "configs"):
        metadata.pop(name, None)
        expected.pop(name)
    assert metadata == expected
    assert result.files[README] == len(repo.files()[README])


def test_a_card_of_somebody_else_is_kept(
    hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "---\nlicense: mit # chosen\nlanguage: en\n---\n# My digits\n\nWritten by me.\r\n"
    repo = hub.create("alice/digits")
    change_card(repo, text)
    assert main(["push", "digits", "--config", "tiny"]) == 0
    assert "README.md there was changed by somebody: its text was kept." in capsys.readouterr().out
    metadata = parse_card(card_there(repo).replace("\r\n", "\n")).metadata
    assert (metadata["license"], metadata["language"]) == ("mit", "en")
    assert "# My digits\n\nWritten by me.\r\n" in card_there(repo)
    assert counts(card_there(repo)) == {"train": 1000, "test": 200}


def test_a_card_without_metadata_is_kept(hub: HubServer) -> None:
    repo = hub.create("alice/digits")
    change_card(repo, "# My digits\n")
    assert push_to_hub("digits", "tiny").keeps_card
    assert card_there(repo).endswith("---\n# My digits\n")
    assert not push_to_hub("digits", "tiny").changed


def test_the_advice_for_a_new_card_works(repo: Repo) -> None:
    change_card(repo, "# My digits\n")
    files = repo.files()
    repo.commit("main", {path: files[path] for path in files if path != README}, "delete the card")
    assert not push_to_hub("digits", "tiny").keeps_card
    assert "# MNIST\n" in card_there(repo)


def test_metadata_of_an_empty_card_are_kept(hub: HubServer) -> None:
    """The Hub makes such a card for a license that is chosen when a repository is created."""
    repo = hub.create("alice/digits")
    change_card(repo, "---\nlanguage: en\nlicense: other\n---\n")
    assert not push_to_hub("digits", "tiny").keeps_card
    metadata, text = parse_card(card_there(repo))
    assert metadata["language"] == "en"
    assert metadata["license"] == "cc-by-sa-3.0"
    assert "# MNIST\n" in text


def test_metadata_that_are_none_of_ours_stay(repo: Repo) -> None:
    change_card(repo, card_there(repo).replace("license:", "viewer: false\nlicense:"))
    assert not push_to_hub("digits", FEW).keeps_card
    assert parse_card(card_there(repo)).metadata["viewer"] is False
    assert counts(card_there(repo)) == {"train": 30, "test": 30}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"---\na: [1\n---\n# Mine\n", id="no YAML"),
        pytest.param(b"---\n- a\n---\n# Mine\n", id="a list"),
        pytest.param(b"---\na: 1\n---\n# \xff\n", id="no UTF-8"),
    ],
)
def test_a_card_that_cannot_be_read_is_refused(content: bytes, hub: HubServer) -> None:
    repo = hub.create("alice/digits")
    repo.commit("main", {README: content}, "broken")
    with pytest.raises(IdxError, match=r"^alice/digits: README\.md there cannot be read: .*delete"):
        push_to_hub("digits", "tiny")
    assert repo.files() == {README: content}


# Folders


def change_file(folder: Path) -> str:
    """What a user writes into the card of an export."""
    path = folder / README
    text = path.read_text(encoding="utf-8").replace(
        "## Structure", "## Mine\n\nYes.\n\n## Structure"
    )
    path.write_text(text, encoding="utf-8")
    return text


def test_an_export_with_words_of_the_user_is_not_replaced(tmp_path: Path) -> None:
    folder = export(tmp_path / "digits", "tiny")
    text = change_file(folder)
    changed = r"it holds README\.md, which somebody has written or changed.*move README\.md away"
    with pytest.raises(IdxError, match=f"not replaced, since {changed}"):
        export(folder, FEW, overwrite=True)
    with pytest.raises(IdxError, match=changed.replace("it ", "exists already, and ", 1)) as caught:
        export(folder, FEW)
    assert "overwrite" not in str(caught.value), "it would not replace it"
    assert (folder / README).read_text(encoding="utf-8") == text
    assert len(datasets.load_dataset(str(folder), split="test", cache_dir=str(tmp_path))) == 200


def test_the_advice_for_an_export_with_words_of_the_user_works(tmp_path: Path) -> None:
    folder = export(tmp_path / "digits", "tiny")
    text = change_file(folder)
    (folder / README).rename(tmp_path / "mine.md")
    export(folder, FEW, overwrite=True)
    assert (folder / README).is_file()
    assert (tmp_path / "mine.md").read_text(encoding="utf-8") == text


def test_words_of_the_user_in_an_export_are_published(hub: HubServer, tmp_path: Path) -> None:
    folder = export(tmp_path / "digits", "tiny")
    change_file(folder)
    assert not push_to_hub("digits", folder=folder).keeps_card
    repo = hub.repos["alice/digits"]
    assert "## Mine\n\nYes." in card_there(repo)
    assert 'load_dataset("alice/digits")' in card_there(repo)
    # The same again is no news; and what is generated elsewhere does not take its place.
    again = push_to_hub("digits", folder=folder)
    assert (again.changed, again.keeps_card) == (False, False)
    assert push_to_hub("digits", FEW).keeps_card
    assert "## Mine\n\nYes." in card_there(repo)


def test_other_datasets_in_programs_of_the_user_stay(hub: HubServer, tmp_path: Path) -> None:
    images, labels = random_images(30, 9, 7), random_labels(30)
    write_archive(tmp_path / "set", {TRAIN_IMAGES: to_idx(images), TRAIN_LABELS: to_idx(labels)})
    assert main(["export", str(tmp_path / "set"), str(tmp_path / "out")]) == 0
    path = tmp_path / "out" / README
    mine = '\n```python\nother = load_dataset("ylecun/mnist", split="train")\n```\n'
    path.write_text(path.read_text(encoding="utf-8") + mine, encoding="utf-8")
    push_to_hub("digits", folder=tmp_path / "out")
    text = card_there(hub.repos["alice/digits"])
    assert text.endswith(mine)
    assert str(tmp_path) not in text


def test_a_card_says_nothing_of_the_folder_it_was_written_to(repo: Repo) -> None:
    assert "mnist_idx-" not in card_there(repo)
    head = card_there(repo).split("---\n")[1]
    assert yaml.safe_load(head)["pretty_name"] == "MNIST"
