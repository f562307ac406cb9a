"""What people have written about the published datasets: the sections of Markdown files."""

import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
HEADING = re.compile(r"^## (.+)\n", re.MULTILINE)


def read_prose(family: str) -> dict[str, str]:
    """The sections about a family of published datasets, by their titles; none of one without.

    Those of MNIST are in the card that people read in the repository. Its other sections are
    generated, see `card_sections`.
    """
    path = PACKAGE / "tools" / "card_prose" / f"{family}.md"
    if family == "mnist":
        path = _card_of_mnist()
    if not path.is_file():
        return {}
    return split_sections(path.read_text(encoding="utf-8"))


def split_sections(text: str) -> dict[str, str]:
    """The text of each section of the second level, by its title.

    >>> split_sections("# A\\n\\n## B\\n\\nOne.\\n\\n## C\\n\\nTwo.\\n")
    {'B': 'One.', 'C': 'Two.'}
    """
    _, *parts = HEADING.split(text)
    titles, bodies = parts[::2], parts[1::2]
    return {title: body.strip() for title, body in zip(titles, bodies, strict=True)}


def _card_of_mnist() -> Path:
    # The card is in the package once that is installed, beside it in a checkout.
    path = PACKAGE / "dataset_card.md"
    return path if path.is_file() else PACKAGE.parent / "dataset_card.md"
