"""The text of a card: a function for each section, of what is true of the records.

A section that has nothing to say is None, and left out. What people have written about the
published datasets is in `card_prose`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ..catalog import DATASETS, About, File, PublishedDataset
from ..selection import Selection
from .card_facts import ConfigFacts, SplitFacts, describe_parts, describe_records
from .card_markdown import block, enumerate_words, escape, listed, table
from .card_programs import Program, digest_program, load_program, selection_program
from .card_prose import read_prose
from .preview import text_sheet

LICENSES = {
    "cc-by-sa-3.0": "[CC BY-SA 3.0](https://creativecommons.org/licenses/by-sa/3.0/)",
    "cc-by-sa-4.0": "[CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/)",
    "mit": "[MIT](https://opensource.org/license/mit)",
    "bsd-3-clause": "[BSD 3-Clause](https://opensource.org/license/bsd-3-clause)",
    "unknown": "not stated by its authors",
}
EPYNN = "[EpyNN](https://github.com/synthaze/EpyNN)"
MAX_CLASS_ROWS = 100  # of a table that people read
MAX_DRAWN_SIZE = 64  # pixels of an image that is drawn as text


class CardFacts(NamedTuple):
    """What a card speaks of."""

    title: str  # of a dataset that has no name
    configs: list[ConfigFacts]  # the first is the default
    picture: str | None  # the name of its file, beside the card

    @property
    def default(self) -> ConfigFacts:
        return self.configs[0]

    @property
    def published(self) -> PublishedDataset | None:
        """The published dataset that the default config is, or is a part of."""
        published = self.default.published
        if published is None or published.part_of is None:
            return published
        return DATASETS[published.part_of]

    @property
    def about(self) -> About | None:
        return None if self.published is None else self.published.about

    @property
    def name(self) -> str:
        """What people call the dataset."""
        return self.title if self.about is None else self.about.name


def compose(facts: CardFacts) -> str:
    """The text of a card, without metadata."""
    prose: dict[str, str] = {}
    if facts.published is not None:
        prose = read_prose(facts.published.family)
    sections = [
        heading(facts),
        summary(facts),
        how_to_load(facts),
        links(facts),
        *written_sections(prose, "About"),
        structure(facts),
        configs_table(facts),
        fields_table(facts),
        first_record(facts),
        splits_table(facts),
        *class_tables(facts),
        *written_sections(prose, "How"),
        how_this_copy_was_made(facts),
        files_table(facts),
        digests_table(facts),
        *selections(facts),
        *written_sections(prose, "Limitations"),
        license_section(facts, prose),
        citation(facts, prose),
    ]
    return "\n\n".join(section for section in sections if section is not None) + "\n"


def written_sections(prose: dict[str, str], start: str) -> list[str]:
    """The sections that people have written, whose titles start so."""
    found = [title for title in prose if title.startswith(start) and title != COPY_TITLE]
    return [f"## {title}\n\n{prose[title]}" for title in found]


# What it is


def heading(facts: CardFacts) -> str:
    title = f"# {escape(facts.name)}"
    if facts.picture is None:
        return title
    split = next(iter(facts.default.splits))
    labels = ", each with its label" if facts.default.layout.class_names is not None else ""
    return f"{title}\n\n![The first records of `{split}`{labels}]({facts.picture})"


def summary(facts: CardFacts) -> str:
    """What the dataset is, and how much of it is here."""
    sizes = [_counted(size, split) for split, size in facts.default.sizes.items()]
    here = f"{enumerate_words(sizes)}: {describe_records(facts.default)}"
    in_parts = [f"`{name}`" for name, split in facts.default.splits.items() if not split.is_whole]
    if in_parts:
        here += f"; of {enumerate_words(in_parts)} only [a part](#how-this-copy-was-made)"
    published = facts.published
    if published is None:
        records = "pictures" if not facts.default.as_array else "arrays"
        source = "IDX files, the format that MNIST was published in"
        return f"Records of {source}, as {records}. Here are {here}."
    described = published.description.rstrip(".")
    if all(config.is_part for config in facts.configs):
        return f"{described}.\n\n**Here is a part of it:** {here}."
    return f"{described}.\n\nHere are {here}."


def _counted(size: int, split: str) -> str:
    records = "record" if size == 1 else "records"
    return f"{size:,} {records} of `{split}`"


def how_to_load(facts: CardFacts) -> str:
    """A program that loads the records, and what it prints."""
    source = "`load_dataset` takes the name of a repository on the Hub, or the path of a folder."
    return f"{_shown_program(load_program(facts.configs))}\n\n{source}"


def _shown_program(program: Program) -> str:
    return f"{block('python', program.code)}\n\nIt prints:\n\n{block('text', program.prints)}"


def links(facts: CardFacts) -> str | None:
    """Homepage, paper and license, for whoever only wants these."""
    published, about = facts.published, facts.about
    if published is None:
        return None
    lines = [f"**Homepage:** <{published.homepage}>"]
    if about is not None:
        lines.append(f"**Paper:** [{escape(about.paper)}]({about.paper_url})")
    lines.append("**Task:** image classification")
    lines.append(f"**License:** {LICENSES.get(published.license, published.license)}")
    return listed(lines)


# What is in it


def structure(facts: CardFacts) -> str:
    return "## Structure"


def configs_table(facts: CardFacts) -> str | None:
    """The configs, the records of each, and what they are."""
    if facts.default.name is None:
        return None
    splits = _all_splits(facts.configs)
    rows: list[list[str]] = []
    for config in facts.configs:
        sizes = [_number(config.sizes.get(split)) for split in splits]
        default = " (default)" if config is facts.default else ""
        content = describe_records(config)
        if config.published is not None and config.published.content is not None:
            content = f"{escape(config.published.content)}; {content}"
        rows.append([f"`{config.name}`{default}", *sizes, content])
    head = ["configuration", *(f"`{split}`" for split in splits), "content"]
    numbers = range(1, len(splits) + 1)
    return f"### Configurations\n\n{table(head, rows, numbers)}"


def _all_splits(configs: Sequence[ConfigFacts]) -> list[str]:
    found: dict[str, None] = {}
    for config in configs:
        found.update(dict.fromkeys(config.splits))
    return list(found)


def _number(value: int | None) -> str:
    return "none" if value is None else f"{value:,}"


def fields_table(facts: CardFacts) -> str:
    """The columns of the records."""
    rows = [_image_row(facts.default), *_label_rows(facts)]
    return f"### Fields\n\n{table(['field', 'type', 'content'], rows)}"


def _image_row(config: ConfigFacts) -> list[str]:
    layout = config.layout
    if config.as_array:
        return ["`image`", _array_type(layout.shape, layout.dtype), "the values, as in the files"]
    sizes: dict[str, list[str]] = {}  # the splits of each size
    is_gray = True
    for name, split in config.splits.items():
        rows, columns = split.first.images.shape[1:3]
        is_gray = split.first.images.ndim == 3
        sizes.setdefault(f"{rows} × {columns}", []).append(f"`{name}`")
    if len(sizes) == 1:
        size = next(iter(sizes))
    else:
        size = ", ".join(f"{size} ({enumerate_words(of)})" for size, of in sizes.items())
    color = "8-bit grayscale (mode `L`): 0 is black, 255 is white"
    if not is_gray:
        color = "8-bit color (mode `RGB`)"
    return ["`image`", "`Image`", f"{size} pixels, {color}"]


def _array_type(shape: tuple[int, ...], dtype: str) -> str:
    if shape == ():
        return f"`{dtype}`"
    if len(shape) == 1:
        return f"{shape[0]:,} × `{dtype}`"
    return f"`Array{len(shape)}D` of `{dtype}`, {' × '.join(map(str, shape))}"


def _label_rows(facts: CardFacts) -> list[list[str]]:
    """The rows of the label, and of what else it says."""
    layout = facts.default.layout
    name = "`label`"
    if layout.not_classes is not None:
        rows = [[name, "`int64`", "a whole number, which is no class"]]
    elif layout.class_names is not None:
        meaning = "the class" if facts.about is None else facts.about.label
        rows = [[name, "`ClassLabel`", f"{meaning}, see [classes](#classes)"]]
    elif layout.label_dtype is not None:
        kind = f"`{layout.label_dtype}`"
        if layout.label_parts == 1:
            return [[name, kind, "a number"]]
        return [[name, f"{layout.label_parts} × {kind}", "numbers"]]
    else:
        return []
    num_details = layout.label_parts - 1
    if num_details > 0:
        kind = f"{num_details} × `int64`"
        rows.append(["`label_details`", kind, "the other numbers of the label, as in the files"])
    return rows


def first_record(facts: CardFacts) -> str | None:
    """The first image, drawn as text if it is small and gray."""
    config = facts.default
    name, split = next(iter(config.splits.items()))
    images = split.first.images
    is_small = images.ndim == 3 and max(images.shape[1:]) <= MAX_DRAWN_SIZE
    if config.as_array or not is_small:
        return None
    drawn = text_sheet(images, num=1).strip("\n")
    if not drawn:
        return None
    legend = (
        f"This is the first image of `{name}`. A space stands for values under 26, then\n"
        "`.:-=+*#%@` for each further 26. Empty rows are left out."
    )
    return f"{legend}\n\n{block('text', drawn)}"


def splits_table(facts: CardFacts) -> str:
    """The splits of each config: how many records, and what pixels are like on average."""
    rows: list[list[str]] = []
    has_contents = facts.default.has_digests
    for config in facts.configs:
        for name, split in config.splits.items():
            rows.append([*_place(config, name), f"{split.num_records:,}"])
            if split.content is not None:
                rows[-1] += [f"{split.content.mean:.4f}", f"{split.content.deviation:.4f}"]
            elif has_contents:
                rows[-1] += ["", ""]
    head = [*_place_head(facts.default), "records"]
    if has_contents:
        head += ["mean of the pixels / 255", "standard deviation"]
    numbers = range(len(_place_head(facts.default)), len(head))
    text = f"### Splits\n\n{table(head, rows, numbers)}"
    splits = _all_splits(facts.configs)
    if "train" in splits and "validation" not in splits:
        text += "\n\nThere is no validation split; take one from `train`."
    return text


def _place(config: ConfigFacts, split: str) -> list[str]:
    """The cells that say which split of which config."""
    return [f"`{split}`"] if config.name is None else [f"`{config.name}`", f"`{split}`"]


def _place_head(config: ConfigFacts) -> list[str]:
    return ["split"] if config.name is None else ["configuration", "split"]


def class_tables(facts: CardFacts) -> list[str]:
    """How many records each class has: a table for all configs of the same classes."""
    groups: dict[tuple[str, ...], list[ConfigFacts]] = {}
    for config in facts.configs:
        if config.layout.class_names is not None:
            groups.setdefault(config.layout.class_names, []).append(config)
    tables = [_class_table(names, group) for names, group in groups.items()]
    if tables:
        tables[0] = f"### Classes\n\n{tables[0]}"
    return tables


def _class_table(names: tuple[str, ...], configs: Sequence[ConfigFacts]) -> str:
    head = ["label", "name"]
    columns: list[SplitFacts] = []
    for config in configs:
        for name, split in config.splits.items():
            head.append(" ".join(_place(config, name)))
            columns.append(split)
    if len(names) > MAX_CLASS_ROWS:
        return _class_summary(len(names), head[2:], columns)
    rows: list[list[str]] = []
    for number, name in enumerate(names):
        counts = [f"{split.class_counts[number]:,}" for split in columns]
        rows.append([str(number), escape(name), *counts])
    rows.append(["", "all", *(f"{split.num_records:,}" for split in columns)])
    return table(head, rows, range(2, len(head)))


def _class_summary(num_classes: int, titles: Sequence[str], columns: Sequence[SplitFacts]) -> str:
    """What is said of more classes than a table has rows."""
    lines = [f"There are {num_classes:,} classes, too many for a table."]
    for title, split in zip(titles, columns, strict=True):
        counts = split.class_counts
        lines.append(f"{title} has {min(counts):,} to {max(counts):,} records of each.")
    return "\n".join(lines)


# How it was made

COPY_TITLE = "How this copy was made"


def how_this_copy_was_made(facts: CardFacts) -> str:
    """Where the records come from, and what was done to them."""
    published = facts.default.published
    if published is None:
        lines = ["`mnist-idx export` read IDX files, and wrote their records as Parquet files."]
    else:
        is_remote = "://" in published.sources[0]
        files = "the published IDX files" if is_remote else "IDX files that come with it"
        lines = [f"`mnist-idx` read {files}, and checked them by their SHA-256 first."]
    lines += [_what_was_done(facts), *_which_records(facts)]
    return f"## {COPY_TITLE}\n\n" + "\n".join(lines)


def _what_was_done(facts: CardFacts) -> str:
    config = facts.default
    stored = "Pixels and labels are unchanged."
    if config.published is None:
        stored = "Pixels are unchanged."  # One-hot labels become classes.
    if config.published is not None and config.published.transposed:
        if config.transpose:
            stored = (
                "In the files, rows and columns of each image are exchanged, so that characters\n"
                "lie on their side. Here they stand upright. Labels are unchanged."
            )
        else:
            stored = "As in the files, rows and columns of each image are exchanged: not upright."
    elif config.transpose:
        stored = "Rows and columns of each image were exchanged."
    form = "The images are stored as PNG, which is lossless."
    if config.as_array:
        form = "They are stored as arrays."
    return f"{stored}\n{form}"


def _which_records(facts: CardFacts) -> list[str]:
    """Which records were taken, where the table of configs does not say it."""
    if facts.published is not None:
        return []
    lines = [f"The order of the records: {describe_records(facts.default)}."]
    return lines + describe_parts(facts.default.splits)


def files_table(facts: CardFacts) -> str | None:
    """The IDX files that are here as a whole, with their digests."""
    rows: list[list[str]] = []
    seen: set[str] = set()
    for config in facts.configs:
        if config.published is None or config.is_part:
            continue
        for split in config.published.splits.values():
            for file in (split.images, split.labels):
                if file.sha256 not in seen:
                    seen.add(file.sha256)
                    rows.append(_file_row(file))
    if not rows:
        return None
    head = ["IDX file", "bytes", "SHA-256", "SHA-256, decompressed"]
    return table(head, rows, [1])


def _file_row(file: File) -> list[str]:
    content = "not known" if file.content_sha256 is None else f"`{file.content_sha256}`"
    return [f"`{file.name}{file.suffix}`", f"{file.size:,}", f"`{file.sha256}`", content]


def digests_table(facts: CardFacts) -> str | None:
    """The digests of the records, and the program that computes them."""
    configs = [config for config in facts.configs if config.has_digests]
    if len(configs) < len(facts.configs):
        return None
    rows: list[list[str]] = []
    is_alone = len(configs) == 1
    for config in configs:
        for name, split in config.splits.items():
            assert split.content is not None
            place = [f"`{name}`"] if is_alone else _place(config, name)
            rows.append([*place, f"`{split.content.sha256}`"])
    head = ["split"] if is_alone else _place_head(facts.default)
    head.append("SHA-256 of its records")
    code = block("python", digest_program(configs).code)
    intro = (
        "You can check these records yourself. This program hashes the pixels and the label of\n"
        "each record, in order. The table has what it prints."
    )
    return f"### Digests\n\n{intro}\n\n{code}\n\n{table(head, rows)}"


def selections(facts: CardFacts) -> list[str]:
    """How records were selected: a section for each config that has not all in their order."""
    sections: list[str] = []
    for config in facts.configs:
        if config.published is None or config.selection.is_everything:
            continue
        records = describe_records(config)
        lines = [f"{records[0].upper()}{records[1:]}, by Python's `random.Random`."]
        if config.selection == Selection(num_samples=100, seed=1):
            lines.append(f"The examples of {EPYNN} take the same.")
        whole = _whole_of(config, facts.configs)
        if whole is not None:
            program = selection_program(config, whole)
            lines.append(
                f"This program takes them from `{whole.name}`:\n\n{_shown_program(program)}"
            )
        sections.append(f"### How `{config.name}` was selected\n\n" + "\n".join(lines))
    return sections


def _whole_of(config: ConfigFacts, configs: Sequence[ConfigFacts]) -> ConfigFacts | None:
    """The config that has all records of which this one has a part, in their order."""
    for other in configs:
        if other.published is None or config.published is None:
            continue
        same_files = other.published.splits == config.published.splits
        same_form = (other.transpose, other.as_array) == (config.transpose, config.as_array)
        if same_files and same_form and other.selection.is_everything:
            return other
    return None


# What may be done with it


def license_section(facts: CardFacts, prose: dict[str, str]) -> str:
    """The license of the data."""
    if "License" in prose:
        return f"## License\n\n{prose['License']}"
    if facts.published is None:
        return (
            "## License\n\n"
            "IDX files do not say who made their records, or what may be done with them."
        )
    name = LICENSES.get(facts.published.license, facts.published.license)
    return f"## License\n\nThe license of the data is {name}."


def citation(facts: CardFacts, prose: dict[str, str]) -> str | None:
    """How to cite the dataset."""
    if "Citation" in prose:
        return f"## Citation\n\n{prose['Citation']}"
    if facts.published is None:
        return None
    return f"## Citation\n\n{block('bibtex', facts.published.citation.strip())}"
