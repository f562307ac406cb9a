"""The command line, `mnist-idx`.

A command is a function: its name, its help and the code that runs. What adds its arguments stands
before it, and `COMMANDS` lists both. Commands import what they need, so that `--help` answers at
once.
"""

import argparse
import io
import os
import re
import runpy
import shutil
import signal
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeAlias

from .. import __version__
from ..catalog import DATASETS
from ..compressions import SUFFIXES
from ..errors import IdxError, listed_names, printable
from ..paths import expand_home
from ..suggestions import alternatives, closest_names, did_you_mean
from .dataset_types import is_error_of_datasets

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

    from .overview import Overview
    from .parquet_folder import ParquetOptions
    from .record_values import UnlabeledSplit

    Loaded: TypeAlias = Dataset | DatasetDict | IterableDataset | IterableDatasetDict

NamedFiles: TypeAlias = list[str] | dict[str, list[str]]  # paths, or paths by split
FAILED, INTERRUPTED = 1, 130  # exit codes
EXIT_CODES = "exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted"
NAMES = ", ".join(DATASETS)
EXAMPLES = """\
examples:
  mnist-idx preview tiny              draw a miniature of MNIST that needs no network: tiny.png
  mnist-idx preview fashion_mnist -n 100 -o clothes.png
  mnist-idx verify my_folder          are these IDX files complete, undamaged, fit to load?
  mnist-idx convert imagefolder digits --data-dir photos --mode L --size 28x28
  mnist-idx export mnist mnist.npz --as npz
  mnist-idx example train > train.py  a program that trains on MNIST, to be changed
  mnist-idx preview --help            options and examples of a command

MNIST_IDX_MIRROR is a URL or path that is tried before the built-in sources of MNIST.
"""
# What others call commands and options.
OTHER_COMMANDS = {
    "show": "preview",
    "draw": "preview",
    "plot": "preview",
    "view": "preview",
    "info": "preview",
    "check": "verify",
    "test": "verify",
    "validate": "verify",
    "publish": "push",
    "upload": "push",
    "save": "export",
    "write": "convert",
    "train": "example train",
    "list": "--help",
}
OTHER_OPTIONS = {
    "--format": "--as",
    "--limit": "--num-samples",
    "--out": "--output",
    "--force": "--overwrite",
    "--text": "--ascii",
    "--workers": "--num-proc",
    "--jobs": "--num-proc",
}
# Where the endings of the names of archives and of compressed files begin.
ENDING_OF_ARCHIVE = re.compile(
    rf"(?:{'|'.join(map(re.escape, ['.tar', '.tgz', '.zip', *SUFFIXES]))})\b"
)

# What other programs end this one with. SIGHUP: the terminal is closed. Windows has none.
ENDING_SIGNALS = [signal.SIGTERM]
if hasattr(signal, "SIGHUP"):
    ENDING_SIGNALS.append(signal.SIGHUP)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code; wrong usage is a `SystemExit` with code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names may have characters that the terminal has not.
            stream.reconfigure(errors="backslashreplace")
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser()
    if not arguments or arguments == ["help"]:
        parser.print_help()
        return 0
    if arguments[0] == "help":
        arguments = [*arguments[1:], "--help"]
    check_command(parser, arguments[0])
    namespace, unknown = parser.parse_known_args(arguments)
    options = vars(namespace)
    command, command_parser = options.pop("command"), options.pop("parser")
    if unknown:
        command_parser.error(what_is_unknown(unknown[0], command_parser))
    if command is not run:
        return call(command, options)
    failed = call(check_program, options)
    if failed:
        return failed
    run(**options)  # Its errors are those of the program.
    return 0


def call(command: Callable[..., int | None], options: Mapping[str, Any]) -> int:
    """Run a command, and say what went wrong. Returns the exit code."""
    try:
        return _run_and_flush(command, options)
    except KeyboardInterrupt:
        print("mnist-idx: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if not isinstance(error, ValueError | OSError) and not is_error_of_datasets(error):
            raise
        print("mnist-idx:", message_of(error), file=sys.stderr)
        return FAILED


def _run_and_flush(command: Callable[..., int | None], options: Mapping[str, Any]) -> int:
    try:
        with ending_on_sigterm():
            return command(**options) or 0
    finally:
        sys.stdout.flush()


def message_of(error: Exception) -> str:
    """The message of an error in the words of the command line, fit to print."""
    message = error.for_command_line() if isinstance(error, IdxError) else str(error)
    message = message or type(error).__name__
    # The lines of our own errors are escaped: a line break in them is ours.
    return "\n".join(printable(line) for line in message.split("\n"))


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Clean up when another program ends this one. A forked process ends at once, as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def end(number: int, frame: object) -> None:
        if os.getpid() != process:
            os._exit(128 + number)
        raise SystemExit(128 + number)

    usual = {}
    for number in ENDING_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` leaves it
            usual[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


# The parser


class Parser(argparse.ArgumentParser):
    """A parser whose errors end with the way to its help, and that lists its options."""

    def __init__(self, **kwargs: Any) -> None:
        self.option_names: list[str] = []  # with their hyphens
        super().__init__(**kwargs)

    def add_argument(self, *names: str, **kwargs: Any) -> argparse.Action:
        action = super().add_argument(*names, **kwargs)
        self.option_names += action.option_strings
        return action

    def error(self, message: str) -> NoReturn:
        super().error(f"{message}\nAll options, and examples: {self.prog} --help")


def check_command(parser: argparse.ArgumentParser, word: str) -> None:
    """End the program if its first argument is no command."""
    names = [name_of(command) for command in COMMANDS]
    if word in names or word in ("-h", "--help", "--version"):
        return
    expected = f"expected a command: {alternatives(names)}"
    if word.startswith("-"):
        parser.error(f"{word}: {expected}. Options follow it.")
    meant = [f"mnist-idx {name}" for name in closest_names(word, names)]
    if word.lower() in OTHER_COMMANDS:
        meant = [f"mnist-idx {OTHER_COMMANDS[word.lower()]}"]
    elif word in DATASETS or os.path.exists(word):
        meant = [f"mnist-idx preview {word}"]
    parser.error(f"{word}: {expected}.{did_you_mean(meant)}")


def what_is_unknown(word: str, parser: Parser) -> str:
    """What to say of an argument that a command does not take."""
    if not word.startswith("-"):
        meant = [f"--split {word}"] if word in ("train", "test") else []
        return f"unexpected argument: {word}.{did_you_mean(meant)}"
    name = word.partition("=")[0]
    known = [option for option in parser.option_names if option.startswith("--")]
    if name in OTHER_OPTIONS and OTHER_OPTIONS[name] in known:
        return f"unknown option {name}.{did_you_mean([OTHER_OPTIONS[name]])}"
    by_name = {option.lstrip("-"): option for option in known}
    meant = [by_name[option] for option in closest_names(name.lstrip("-"), by_name)]
    question = did_you_mean(meant) or f" The options are {', '.join(known)}."
    return f"unknown option {name}.{question}"


def one_of(*choices: str) -> Callable[[str], str]:
    """What reads an argument that must be one of a few."""

    def read(text: str) -> str:
        if text in choices:
            return text
        question = did_you_mean(closest_names(text, choices))
        raise argparse.ArgumentTypeError(f"{text!r}: expected {alternatives(choices)}.{question}")

    return read


def name_of(command: "Command") -> str:
    """The name of a command on the command line."""
    return command.function.__name__.replace("_", "-")


class Command(NamedTuple):
    function: Callable[..., int | None]
    add_arguments: Callable[[argparse.ArgumentParser], None]


def build_parser() -> Parser:
    """The parser of the command line."""
    parser = Parser(
        prog="mnist-idx",
        description="MNIST, its relatives, and anyone's IDX files, as Hugging Face datasets.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mnist-idx {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for row in COMMANDS:
        summary, _, details = _clean(row.function.__doc__ or "").partition("\n\n")
        command = commands.add_parser(
            name_of(row),
            help=summary,
            description=summary,
            epilog=f"{details}\n\n{EXIT_CODES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(command=row.function, parser=command)
        row.add_arguments(command)
    return parser


def _clean(docstring: str) -> str:
    """A docstring without its indentation. `inspect.getdoc` takes long to import."""
    first, _, others = docstring.partition("\n")
    return f"{first}\n{textwrap.dedent(others)}".strip()


def add_source(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "source",
        nargs="?",
        type=expand_home,
        metavar="SOURCE",
        help=f"a config ({NAMES}), or the path or URL of IDX files (default: mnist)",
    )
    add_data_files(parser, "files instead of a SOURCE, or those of a split; may be repeated")
    add("--prefix", help="which of several datasets in one place, by the start of their file names")


def add_split(parser: argparse.ArgumentParser, meaning: str, default: str | None = None) -> None:
    parser.add_argument("-s", "--split", default=default, metavar="SPLIT", help=meaning)


def add_data_files(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Add the option that names files; see `files_by_split`."""
    parser.add_argument("--data-files", action="append", metavar="[SPLIT=]PATH", help=meaning)


def add_configs(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which datasets to publish; see `chosen_configs`."""
    add = parser.add_argument
    add(
        "-c",
        "--config",
        action="append",
        type=one_of(*DATASETS),
        metavar="CONFIG",
        help=f"{NAMES}; may be repeated (default: mnist and subset)",
    )
    add(
        "-n",
        "--num-samples",
        type=int,
        metavar="N",
        help="of subset: this many records of each split, shuffled (default: 100); without "
        "subset: of each config",
    )
    add(
        "--seed",
        type=int,
        metavar="N",
        help="of the same: seed of the random generator (default: 1)",
    )
    add(
        "--sampling",
        type=one_of("first", "uniform"),
        metavar="{first,uniform}",
        help="of the same: the first records, or any (default: first)",
    )


def parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9][0-9]{0,18})x([1-9][0-9]{0,18})", text.lower())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r}: expected ROWSxCOLS, for example 28x28")
    return int(match[1]), int(match[2])


def check_source(source: str | None, prefix: str | None, data_files: list[str] | None) -> None:
    """Refuse a source that is neither a config nor a place, and one beside files."""
    if data_files is not None:
        if source is not None:
            found = f"{source}: expected SOURCE or --data-files, found both"
            place = "Paths of files start at the working folder"
            raise IdxError(f"{found}. Leave out one of them. {place}.")
        return
    if source is None or source in DATASETS:
        from .verify import check_no_prefix

        check_no_prefix(source or "mnist", prefix)
        return
    if "://" not in source and not os.path.exists(source):
        question = did_you_mean(closest_names(source, DATASETS))
        found = f"{source}: no such file, folder or config.{question}"
        place = f"The working folder is {os.getcwd()}"
        raise IdxError(f"{found} {place}, the configs are {NAMES}.")


# preview


def add_preview_arguments(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    add = parser.add_argument
    add_split(parser, "split to draw (default: train)", "train")
    add("-n", "--num", type=int, default=25, metavar="N", help="records to draw (default: 25)")
    add(
        "-o",
        "--output",
        type=user_path,
        metavar="FILE",
        help="picture to write (default: SOURCE.png)",
    )
    add(
        "--overwrite",
        action="store_true",
        help="replace any file; a PNG file of a preview is replaced without it",
    )
    add("--ascii", dest="as_text", action="store_true", help="print the images as text instead")


def user_path(text: str) -> Path:
    return Path(expand_home(text))


def preview(
    source: str | None,
    prefix: str | None,
    data_files: list[str] | None,
    split: str,
    num: int,
    output: Path | None,
    overwrite: bool,
    as_text: bool,
) -> None:
    """Draw the first records as a picture, and summarize the dataset.

    examples:
      mnist-idx preview tiny                               writes tiny.png
      mnist-idx preview tiny -s test -n 3 --ascii          prints text, writes no picture
      mnist-idx preview copy --output digits.png           a folder, a tar, a zip, or a URL of one
      mnist-idx preview --data-files train=copy/train-images-idx3-ubyte.gz --output digits.png
    """
    check_source(source, prefix, data_files)
    named_files = files_by_split(data_files)
    if source is None and named_files is None:
        source = "mnist"
    if num < 1:
        raise IdxError(f"--num {num}: expected at least 1.")
    if source in DATASETS:
        check_split(split, list(DATASETS[source].splits))
    if output is None:
        output = Path(picture_name(source or first_path(data_files)))
    builder = "mnist_idx" if source in DATASETS else "idxfolder"
    from .preview import check_num, check_target, contact_sheet, describe, save_picture, text_sheet

    if not as_text:
        overwrite = overwrite or may_replace(output)
        check_target(output)
        check_num(num)
    overview = look_at(source, prefix, named_files)
    check_split(split, overview.split_names)
    first = overview.first_records(split, num)
    width = shutil.get_terminal_size().columns
    shown = source or ", ".join(data_files or [])
    described = describe(overview.description, overview.summarize(), width)
    print(f"{printable(shown)} ({builder}): {described}")
    if as_text:
        print(f"\n{text_sheet(first.source, num, first.class_names)}")
        return
    picture = contact_sheet(first.source, names=first.class_names, num=num)
    save_picture(picture, output, overwrite)
    print(f"wrote {printable(str(output))}: the first records of {split}")


def check_split(split: str, names: Sequence[str]) -> None:
    """Refuse to draw a split that is not there."""
    if split not in names:
        question = did_you_mean(closest_names(split, names))
        raise IdxError(f"--split {split}: expected {alternatives(names)}.{question}")


def may_replace(output: Path) -> bool:
    """Whether there is a picture of an earlier preview at a path.

    Raises:
        IdxError: there is something else.
    """
    if not os.path.lexists(output):
        return False
    from .preview import is_drawn

    if is_drawn(output):
        return True
    advice = "Choose another file with --output, or add --overwrite"
    raise IdxError(f"{output}: exists already, and is no PNG file of a preview. {advice}.")


def look_at(source: str | None, prefix: str | None, data_files: NamedFiles | None) -> "Overview":
    """Find the files of a config, or IDX files."""
    from .overview import look_at_config, look_at_files

    if source in DATASETS:
        return look_at_config(source)
    files = {"data_dir": source} if data_files is None else {"data_files": data_files}
    return look_at_files({**files, "prefix": prefix})


def picture_name(source: str) -> str:
    """The name of the picture of a source: that of its file, without the endings of archives.

    >>> picture_name("data/digits.tar.gz"), picture_name("https://host/letters/?token=1")
    ('digits.png', 'letters.png')
    """
    path = source.partition("?")[0] if "://" in source else os.path.abspath(source)
    name = ENDING_OF_ARCHIVE.split(os.path.basename(path.rstrip("/")))[0]
    return (printable(name) or "preview") + ".png"


# verify


def verify(source: str | None, prefix: str | None, data_files: list[str] | None) -> int:
    """Check that IDX files are complete, undamaged, fit to be loaded, and the published ones.

    examples:
      mnist-idx verify tiny
      mnist-idx verify copy                                a folder, a tar, a zip, or a URL of one
      mnist-idx verify --data-files test=copy/t10k-images-idx3-ubyte.gz
    """
    check_source(source, prefix, data_files)
    from . import verify as library

    reports = library.verify(source, prefix, files_by_split(data_files))
    print(library.table(reports))
    problems = [report.problem for report in reports if report.problem]
    for problem in problems:
        print("mnist-idx:", problem, file=sys.stderr)
    if problems:
        print(f"{len(problems)} of {len(reports)} files invalid")
        return FAILED
    count = "1 file" if len(reports) == 1 else f"{len(reports)} files"
    print(f"{count}, all valid")
    return 0


# convert


def add_convert_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "source",
        type=expand_home,
        metavar="SOURCE",
        help="what load_dataset takes: imagefolder, csv, a name on the Hub, …; or an .npz file",
    )
    add(
        "target",
        type=expand_home,
        metavar="TARGET",
        help="folder to create, or a path that ends in .tar",
    )
    add("--name", metavar="CONFIG", help="config of the dataset")
    add("--data-dir", type=expand_home, metavar="FOLDER", help="folder with its files")
    add_data_files(parser, "its files, or those of a split; may be repeated")
    add_split(parser, 'split to write, for example test or "train[:1000]" (default: all)')
    add("--revision", help="version of the dataset on the Hub")
    add("--streaming", action="store_true", help="do not keep a copy of the dataset in the cache")
    add("--image-column", metavar="NAME", help="column of images (default: the only one)")
    add(
        "--label-column",
        action="append",
        metavar="NAME",
        help="column of labels (default: the only one of classes, or of integers); repeated for "
        'labels of several parts; "" for none',
    )
    add(
        "--mode",
        type=one_of("L", "RGB"),
        metavar="{L,RGB}",
        help="convert all images to gray (L) or color (RGB)",
    )
    add(
        "--size",
        type=parse_size,
        metavar="ROWSxCOLS",
        help="resize all images, for example to 28x28; rows and columns of a table of pixels",
    )
    add(
        "--background",
        type=int,
        default=255,
        metavar="LEVEL",
        help="gray level behind transparent pixels, 0 to 255 (default: 255, white)",
    )
    add("--plain", dest="compress", action="store_false", help="do not compress the files")
    add(
        "--overwrite",
        action="store_true",
        help="replace a tar, or a folder of nothing but IDX files",
    )


def convert(
    source: str,
    target: str,
    name: str | None,
    data_dir: str | None,
    data_files: list[str] | None,
    split: str | None,
    revision: str | None,
    streaming: bool,
    image_column: str | None,
    label_column: list[str] | None,
    mode: str | None,
    size: tuple[int, int] | None,
    background: int,
    compress: bool,
    overwrite: bool,
) -> None:
    """Write any image dataset as IDX files, named as MNIST's are.

    examples:
      mnist-idx convert mnist_idx copy --name tiny
      mnist-idx convert imagefolder letters.tar --data-dir photos --mode L --size 28x28
      mnist-idx convert parquet digits --data-files train=a.parquet --data-files test=b.parquet
      mnist-idx convert csv digits --data-files train.csv  a table of pixels: label,pixel0,pixel1,…
    """
    from .convert_source import check_convertible, what_to_convert
    from .pictures import WHITE
    from .record_values import UnlabeledSplit
    from .write import LeftOutWarning, write_idx

    dataset: Any = source
    if not source.lower().endswith(".npz"):
        options = {
            "name": name,
            "data_dir": data_dir,
            "data_files": files_by_split(data_files),
            "split": split,
            "revision": revision,
            "streaming": streaming,
        }
        check_convertible(source, target, data_dir, files_by_split(data_files))
        try:
            dataset = load_any(source, **options)
        except (ConnectionError, FileNotFoundError) as error:
            meant = what_to_convert(source, target)
            if not meant:
                raise
            raise IdxError(f"{source}: no such dataset.{did_you_mean(meant)}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeftOutWarning)  # which is printed below
        try:
            written = write_idx(
                dataset,
                target,
                image_column=image_column,
                label_column=label_column,
                mode=mode,
                size=size,
                background=background,
                compress=compress,
                overwrite=overwrite,
                progress=True,
            )
        except UnlabeledSplit as error:
            typed = {
                "name": name,
                "data-dir": data_dir,
                "data-files": data_files,
                "revision": revision,
                "streaming": streaming,
                "image-column": image_column,
                "label-column": label_column,
                "mode": mode,
                "size": None if size is None else f"{size[0]}x{size[1]}",
                "background": None if background == WHITE else background,
                "plain": not compress,
                "overwrite": overwrite,
            }
            raise each_split_alone(error, source, target, typed, dataset) from error
    for file, header in written.items():
        print(f"{printable(file)}: {' x '.join(map(str, header.shape))} {header.dtype}")
    if written.left_out:
        names = printable(listed_names(written.left_out))
        advice = "Other columns are chosen with --image-column and --label-column."
        print(f"mnist-idx: left out: {names}. {advice}", file=sys.stderr)
    # It is escaped as Python escapes texts.
    print(f"Load with\n{written.loading_code}")


def each_split_alone(
    error: "UnlabeledSplit", source: str, target: str, typed: Mapping[str, object], dataset: object
) -> IdxError:
    """The error of a split without labels beside others, with the commands that convert each."""
    from .convert_source import commands_of_splits

    splits = [str(split) for split in dataset] if isinstance(dataset, Mapping) else []
    unlabeled = [split for split in splits if error.title == f"split {split!r}"]
    if len(splits) < 2 or not unlabeled:
        return error
    commands = commands_of_splits(source, target, typed, splits, unlabeled[0])
    found = error.for_command_line().partition(". ")[0]
    return IdxError(f"{found}. Convert each split alone:", *commands)


def load_any(source: str, **options: Any) -> "Loaded":
    """Call `load_dataset`, whose overloads cannot tell what it returns here.

    Raises:
        IdxError: the source needs a loading script, which `datasets` does not run.
    """
    from datasets import load_dataset

    try:
        loaded: Loaded = load_dataset(source, **options)
    except RuntimeError as error:
        raise IdxError(f"{source}: {error}") from error
    return loaded


def files_by_split(data_files: list[str] | None) -> NamedFiles | None:
    """What `--data-files` means: paths by their split, if each names one.

    >>> files_by_split(["train=a", "train=b", "test=c"]), files_by_split(["a", "b"])
    ({'train': ['a', 'b'], 'test': ['c']}, ['a', 'b'])
    """
    if not data_files:
        return None
    splits: dict[str, list[str]] = {}
    without_split = []
    for file in data_files:
        split, separator, path = file.partition("=")
        if separator and re.fullmatch(r"\w+", split) and not os.path.exists(file):
            splits.setdefault(split, []).append(expand_home(path))
        else:
            without_split.append(expand_home(file))
    if splits and without_split:
        found = f"--data-files {without_split[0]}: found no split"
        raise IdxError(f"{found}. Name one for each file, for example train={without_split[0]}.")
    return splits or without_split


def first_path(data_files: list[str] | None) -> str:
    """The first path of `--data-files`."""
    named = files_by_split(data_files) or [""]
    return named[0] if isinstance(named, list) else next(iter(named.values()))[0]


# push and export


def add_push_arguments(parser: argparse.ArgumentParser) -> None:
    add_configs(parser)
    add = parser.add_argument
    add(
        "repo_id",
        metavar="REPOSITORY",
        help="name, user/name or organization/name; created if missing",
    )
    add(
        "--private",
        action=argparse.BooleanOptionalAction,
        help="visibility of the repository (default: its owner's)",
    )
    add("--token", help="access token (default: HF_TOKEN, or that of `hf auth login`)")
    add(
        "--revision",
        metavar="BRANCH",
        help="branch to publish on, created if missing (default: main)",
    )
    add("--commit-message", metavar="TEXT", help="first line of the commit message")
    add("--commit-description", metavar="TEXT", help="the rest of it")
    add(
        "--create-pr",
        action="store_true",
        help="open a pull request instead of changing the branch",
    )
    add("--dry-run", action="store_true", help="list what would be uploaded; needs no token")
    add(
        "--folder",
        type=expand_home,
        metavar="FOLDER",
        help="publish what `mnist-idx export SOURCE FOLDER` wrote",
    )


def push(
    repo_id: str,
    folder: str | None,
    config: list[str] | None,
    num_samples: int | None,
    seed: int | None,
    sampling: str | None,
    private: bool | None,
    token: str | None,
    revision: str | None,
    commit_message: str | None,
    commit_description: str | None,
    create_pr: bool,
    dry_run: bool,
) -> None:
    """Publish a dataset on the Hugging Face Hub: Parquet files, card and picture, in one commit.

    Records of your own, of any size: write them with `mnist-idx export SOURCE FOLDER`, then push
    them with --folder FOLDER. What was uploaded before a push broke off is not uploaded again.

    The card describes what is published. One that somebody has written or changed keeps its text.

    examples:
      hf auth login                                     once: store an access token that may write
      mnist-idx push user/mnist_idx --config tiny --dry-run
      mnist-idx push mnist_idx                          publish as YOU/mnist_idx
      mnist-idx push other/mnist_idx --create-pr        propose it where you may not write
    """
    if folder is not None and config is not None:
        raise IdxError(f"--folder {folder}: it has its configs. Leave out --config, or --folder.")
    selection = {"num_samples": num_samples, "seed": seed, "sampling": sampling}
    for name, value in selection.items():
        if folder is not None and value is not None:
            option = f"--{name.replace('_', '-')}"
            found = f"{option}: the records of --folder {folder} are pushed as they are"
            way_out = f"Leave out {option}, or select them with mnist-idx export SOURCE {folder}"
            raise IdxError(f"{found}. {way_out} {option} {value}.")
    from .publish import push_to_hub

    configs = chosen_configs(config, num_samples, seed, sampling)
    print(what_is_pushed(config, folder), flush=True)
    result = push_to_hub(
        repo_id,
        configs,
        folder=folder,
        private=private,
        token=token,
        revision=revision,
        commit_message=commit_message,
        commit_description=commit_description,
        create_pr=create_pr,
        dry_run=dry_run,
    )
    sizes = {**result.files, "in all": sum(result.files.values())}
    for path, num_bytes in sizes.items():
        print(f"{printable(path):40} {num_bytes:>12,} bytes")
    if result.keeps_card:
        kept = "README.md there was changed by somebody: its text was kept"
        print(f"{kept}. Delete it there, and push again, for a new one.")
    if dry_run:
        print(f"Nothing was uploaded. It would go to {result.url}")
    elif result.changed:
        print(f"Published at {result.url}")
    else:
        print(f"Nothing to change at {result.url}")


def what_is_pushed(config: list[str] | None, folder: str | None) -> str:
    """What a push says first: whose records it publishes."""
    if folder is not None:
        return f"Publishing the folder {printable(folder)}"
    if config is None:
        default = "Publishing mnist and subset, which are MNIST's own images"
        return f"{default}. To publish yours, add --folder FOLDER."
    about = DATASETS[config[0]].about
    of = "" if about is None else f" of {about.name}"
    return f"Publishing {' and '.join(config)}{of}"


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    add_configs(parser)
    add = parser.add_argument
    add(
        "source",
        nargs="?",
        metavar="SOURCE",
        help=f"a config ({NAMES}), or the path or URL of IDX files",
    )
    add(
        "folder",
        type=expand_home,
        metavar="FOLDER",
        help="folder to create; of --as npz: file to create",
    )
    add(
        "--as",
        dest="form",
        type=one_of("png", "npz"),
        metavar="{png,npz}",
        help="write PNG files in class folders, or one file of NumPy arrays (default: Parquet)",
    )
    add_data_files(parser, "the IDX files, or those of a split; may be repeated")
    add("--prefix", help="which of several datasets, by the start of their file names")
    add(
        "--label-names",
        action="append",
        metavar="NAMES",
        help="names of the classes of IDX files, which have none: cat,dog; may be repeated, then "
        "each is one name (default: 0, 1, …)",
    )
    add_split(parser, 'split to write, for example test or "train[:100]" (default: all)')
    add("--as-array", action="store_true", help="Parquet: arrays of any type, not pictures")
    add(
        "--num-shards",
        type=int,
        metavar="N",
        help="Parquet: files of the largest split (default: files of about 500 MB)",
    )
    add(
        "-j",
        "--num-proc",
        type=int,
        default=1,
        metavar="N",
        help="Parquet: processes (default: 1)",
    )
    add(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="Parquet: write on a Ray cluster: auto, HOST:PORT or ray://HOST:PORT; by default that "
        "of RAY_ADDRESS, or one on this machine. Write it last",
    )
    add("--overwrite", action="store_true", help="replace an earlier export")


def export(
    source: str | None,
    folder: str,
    form: str | None,
    config: list[str] | None,
    num_samples: int | None,
    seed: int | None,
    sampling: str | None,
    data_files: list[str] | None,
    prefix: str | None,
    label_names: list[str] | None,
    split: str | None,
    as_array: bool,
    num_shards: int | None,
    num_proc: int,
    ray: str | None,
    overwrite: bool,
) -> None:
    """Write a dataset to a folder: as Parquet files with a card, PNG files, or NumPy arrays.

    Published datasets, by --config or as SOURCE, become Parquet files with card and picture, as
    `push` publishes them. So do any IDX files. --num-samples, --seed and --sampling select records
    of these; of published configs those of subset or, if it is not among them, of each. The last
    line says how to load what was written.

    IDX files have numbers of classes, no names: --label-names gives them, in the order of the
    numbers.

    Files of 100 GB: --num-proc writes several Parquet files at a time, --ray has them written by
    the tasks of a cluster, whose machines must all see SOURCE and FOLDER by the same paths, or
    SOURCE by its URL. Each file is the work of one task, and has the same bytes whoever writes it.
    Files that are finished when the command is killed are kept in a hidden folder beside FOLDER:
    the same command goes on. Keep IDX files of that size uncompressed (gunzip): a task reads its
    own range, and of a compressed file all that is before it.

    --as png writes FOLDER/SPLIT/CLASS/NUMBER.png, which load_dataset("imagefolder") gives class by
    class. Where names of classes cannot be folders (as "N/A"), and for labels of several parts,
    FOLDER/SPLIT/metadata.jsonl keeps labels and order.

    --as npz writes x_train, y_train, x_test and y_test, as Keras names them, and x_NAME and y_NAME
    of other splits. It takes records of any type and shape.

    examples:
      mnist-idx export digits --config tiny                afterwards load_dataset("digits") works
      mnist-idx export copy digits --num-shards 4          a folder, a tar, a zip, or a URL of one
      mnist-idx export copy digits --num-proc 2 --overwrite
      mnist-idx export copy words --label-names zero,one,two,three,four,five,six,seven,eight,nine
      mnist-idx export tiny pictures --as png
      mnist-idx export copy copy.npz --as npz
      mnist-idx export tiny few.npz --as npz --num-samples 50 --split train
    """
    selection = {"num_samples": num_samples, "seed": seed, "sampling": sampling}
    names_of_classes = read_label_names(label_names)
    if source is None and data_files is None and config is None:
        check_target(folder, form)
    is_published = source in DATASETS or (source is None and data_files is None)
    if is_published:
        check_no_label_names(source, label_names)
    if form is not None:
        check_options_of_form(form, folder, config, as_array, num_shards, num_proc, ray)
        typed = f"{folder} --as {form}"
        found = find_source(source, data_files, prefix, names_of_classes, typed)
        export_as(form, found, folder, selection, split, overwrite)
        return
    from .parquet_folder import ParquetOptions
    from .shard_workers import Workers

    options = ParquetOptions(num_shards, Workers(num_proc, ray))
    options.check()
    if is_published:
        check_options_of_published(source, data_files, prefix, split, as_array)
        from . import publish

        names = config if source is None else [source, *(config or [])]
        configs = chosen_configs(names, num_samples, seed, sampling)
        from .parquet_folder import load_code

        path = publish.export(
            folder, configs, overwrite=overwrite, num_shards=num_shards, num_proc=num_proc, ray=ray
        )
        print(f"Exported to {printable(str(path))}")
        for name in sorted(configs, key=list(DATASETS).index):  # the default one first
            print(f"Load with: {load_code(folder, name if len(configs) > 1 else None)}")
        return
    if config is not None:
        typed = f"mnist-idx export {folder} --config {config[0]}"
        raise IdxError(f"--config is another source than {source}. Leave it out, or: {typed}")
    found = find_source(source, data_files, prefix, names_of_classes, folder)
    export_parquet(found, folder, selection, split, as_array, overwrite, options)


def check_options_of_form(
    form: str,
    folder: str,
    config: list[str] | None,
    as_array: bool,
    num_shards: int | None,
    num_proc: int,
    ray: str | None,
) -> None:
    """Refuse what pictures and NumPy files are not made of."""
    if config is not None:
        typed = f"mnist-idx export {config[0]} {folder} --as {form}"
        raise IdxError(f"--config is for Parquet files. Name the config as SOURCE: {typed}")
    given = {
        "--as-array": as_array,
        "--num-shards": num_shards is not None,
        "--num-proc": num_proc != 1,
        "--ray": ray is not None,
    }
    for option, is_given in given.items():
        if is_given:
            raise IdxError(f"{option} is for Parquet files. Leave out {option}, or --as {form}.")


def check_options_of_published(
    source: str | None,
    data_files: list[str] | None,
    prefix: str | None,
    split: str | None,
    as_array: bool,
) -> None:
    """Refuse what is not published: a part of a published dataset, or others in its place."""
    title = source or "a published dataset"
    given = {
        "--data-files": data_files is not None,
        "--prefix": prefix is not None,
        "--split": split is not None,
        "--as-array": as_array,
    }
    for option, is_given in given.items():
        if is_given:
            found = f"{option}: {title} is exported whole, as it is published"
            raise IdxError(f"{found}. Leave out {option}, or add --as png or --as npz.")


def check_target(folder: str, form: str | None) -> None:
    """Refuse a single argument that must be meant as the SOURCE.

    Args:
        form: "png" or "npz"; None for Parquet.
    """
    options = "" if form is None else f" --as {form}"
    way_out = f"mnist-idx export {folder} TARGET{options}"
    if folder in DATASETS:
        found = f"{folder} is a config, and a TARGET is missing: {way_out}"
        raise IdxError(f"{found}. A folder of this name is ./{folder}")
    if "://" in folder:
        raise IdxError(f"{folder}: it can be a SOURCE, and a TARGET is missing: {way_out}")
    if holds_idx_files(folder):
        raise IdxError(f"{folder}: holds IDX files, and a TARGET is missing: {way_out}")


def holds_idx_files(path: str) -> bool:
    """Whether a local path is that of IDX files which can be exported."""
    if not os.path.exists(path):
        return False
    from .exported import open_exported

    try:
        open_exported("idxfolder", None, None, as_array=True, data_dir=path)
    except IdxError:
        return False
    return True


def read_label_names(texts: list[str] | None) -> list[str] | None:
    """The names of classes: one text has all, separated by commas; of several, each is one.

    >>> read_label_names(["cat,dog"]), read_label_names(["cat, black", "dog"])
    (['cat', 'dog'], ['cat, black', 'dog'])
    """
    if texts is None:
        return None
    names = texts
    if len(texts) == 1:
        names = [name.strip() for name in texts[0].split(",")]
    from ..options import LABEL_NAMES

    if not LABEL_NAMES.is_valid(names):
        found = f"--label-names {','.join(names)}"
        example = "for example --label-names cat,dog"
        raise IdxError(f"{found}: expected a name of its own for each class, {example}.")
    return names


def check_no_label_names(source: str | None, label_names: list[str] | None) -> None:
    """Refuse names for the classes of a published dataset."""
    if label_names is not None:
        found = f"{source or 'a published dataset'} has the names of its classes"
        reason = "It is for IDX files of your own"
        raise IdxError(f"--label-names: {found}. {reason}. Leave out --label-names.")


class FoundSource(NamedTuple):
    """A dataset in the words of `load_dataset`."""

    path: str  # "mnist_idx" or "idxfolder"
    name: str | None  # of the config
    options: Mapping[str, Any]


def find_source(
    source: str | None,
    data_files: list[str] | None,
    prefix: str | None,
    label_names: list[str] | None,
    typed: str,
) -> FoundSource:
    """What SOURCE and the options that go with it mean.

    Args:
        typed: what stands behind SOURCE on the command line.
    """
    if source is None and data_files is None:
        example = f"mnist-idx export tiny {typed}"
        raise IdxError(f"{typed}: a SOURCE is missing, a config or IDX files: {example}")
    check_source(source, prefix, data_files)
    if source in DATASETS:
        return FoundSource("mnist_idx", source, {})
    by_split = files_by_split(data_files)
    given = {
        "data_dir": source,
        "data_files": by_split,
        "prefix": prefix,
        "label_names": label_names,
    }
    return FoundSource("idxfolder", None, given)


def export_as(
    form: str,
    source: FoundSource,
    target: str,
    selection: Mapping[str, Any],
    split: str | None,
    overwrite: bool,
) -> None:
    """Write pictures or arrays, and say how to load them.

    Args:
        form: "png" or "npz".
        selection: the options that select records, by their names.
    """
    from . import image_folder, npz
    from .exported import open_exported

    path, name, options = source
    splits = open_exported(path, name, split, as_array=form == "npz", **options, **selection)
    if form == "png":
        code = image_folder.write_image_folder(splits, target, overwrite)
        for written, size in splits.sizes.items():
            print(f"{printable(written)}: {size:,} PNG files")
    else:
        for array in npz.write_npz(splits, target, overwrite):
            shape = " x ".join(map(str, array.shape))
            print(f"{printable(array.name)}: {shape} {array.dtype}")
        code = npz.load_code(target)
    print(f"Load with: {code}")  # What cannot be printed is escaped in it.


def export_parquet(
    source: FoundSource,
    target: str,
    selection: Mapping[str, Any],
    split: str | None,
    as_array: bool,
    overwrite: bool,
    options: "ParquetOptions",
) -> None:
    """Write IDX files as Parquet files, and say how to load them."""
    from .exported import open_exported
    from .parquet_folder import write_parquet_folder
    from .staged import resolve_target
    from .unfinished import unfinished_path

    kept = unfinished_path(resolve_target(target))
    if kept.exists():
        print(f"Going on with what is finished in {printable(str(kept))}", file=sys.stderr)
    # Streamed: each task reads its own range of remote files, and no copy of them is kept.
    path, name, given = source
    splits = open_exported(path, name, split, as_array, streaming=True, **given, **selection)
    try:
        written = write_parquet_folder(splits, target, overwrite, as_array, options)
    except BaseException:
        if kept.exists():
            advice = "The same command goes on. To give up, remove that folder."
            print(f"What is finished is in {printable(str(kept))}. {advice}", file=sys.stderr)
        raise
    for part, num_files in written.num_files.items():
        files = "1 Parquet file" if num_files == 1 else f"{num_files} Parquet files"
        print(f"{printable(part)}: {splits.sizes[part]:,} records in {files}")
    print(f"Load with: {written.load_code}")


def chosen_configs(
    names: list[str] | None, num_samples: int | None, seed: int | None, sampling: str | None
) -> dict[str, dict[str, object]]:
    """The configs to publish, each with its options: of `subset` only, if it is among them."""
    names = names or ["mnist", "subset"]
    options: dict[str, object] = {"num_samples": num_samples, "seed": seed, "sampling": sampling}
    given = {option: value for option, value in options.items() if value is not None}
    if "subset" not in names:
        return dict.fromkeys(names, given)
    return {name: given if name == "subset" else {} for name in names}


# catalog-row


def add_catalog_row_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "files",
        nargs="+",
        type=expand_home,
        metavar="FILES",
        help="images and labels, as they are published",
    )
    add("--name", default="my_dataset", help="name of the config (default: my_dataset)")


def catalog_row(files: list[str], name: str) -> None:
    """Print the code that adds IDX files to the catalog of the published datasets.

    examples:
      mnist-idx catalog-row my_idx/*.gz --name my_digits   to paste into mnist_idx/catalog.py
    """
    from . import catalog_row as library

    print(library.catalog_row(files, name))


# example


def add_example_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME", help="of an example (default: list them)")
    add("-o", "--output", type=user_path, metavar="FILE", help="file to write (default: print it)")


def example(name: str | None, output: Path | None) -> None:
    """List the programs to copy and change, or print one.

    The beginning of each says what it needs, how to run it, and how long that takes.

    examples:
      mnist-idx example                                    lists them
      mnist-idx example train > train.py
      mnist-idx example train --output train.py            the same, in PowerShell, too
      mnist-idx example notebook > mnist.ipynb
    """
    from .example_files import find_example, list_examples, write_example

    if name is None:
        if output is not None:
            typed = f"mnist-idx example train --output {output}"
            raise IdxError(f"--output {output}: the NAME of an example is missing: {typed}")
        for found in list_examples():
            print(f"{found.name:12} {found.summary}")
        print("\nPrint one: mnist-idx example train > train.py")
        return
    found = find_example(name)
    if output is None:
        print(found.text, end="")
        return
    write_example(found, output)
    advice = "Its beginning says what it needs, and how to run it."
    print(f"wrote {printable(str(output))}. {advice}")


# run


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-m", dest="is_module", action="store_true", help="PROGRAM is a module, as for python -m")
    add("program", type=expand_home, metavar="PROGRAM", help="a Python file")
    add("arguments", nargs=argparse.REMAINDER, metavar="ARGS", help="its arguments")


def check_program(program: str, arguments: list[str], is_module: bool) -> None:
    if not is_module and not os.path.exists(program):
        raise IdxError(f"{program}: no such program. Name a Python file, or a module with -m.")


def run(program: str, arguments: list[str], is_module: bool) -> None:
    """Run a Python program in which load_dataset("mnist_idx") and load_dataset("idxfolder") work.

    examples:
      mnist-idx run train.py --epochs 3                    as python train.py --epochs 3
      mnist-idx run -m package.train                       as python -m package.train
    """
    sys.argv = [program, *arguments]
    if not getattr(sys.flags, "safe_path", False):  # python -P, from 3.11 on
        sys.path[0] = os.getcwd() if is_module else str(Path(program).resolve().parent)
    if is_module:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(program, run_name="__main__")


COMMANDS = (
    Command(preview, add_preview_arguments),
    Command(verify, add_source),
    Command(convert, add_convert_arguments),
    Command(push, add_push_arguments),
    Command(export, add_export_arguments),
    Command(catalog_row, add_catalog_row_arguments),
    Command(example, add_example_arguments),
    Command(run, add_run_arguments),
)
