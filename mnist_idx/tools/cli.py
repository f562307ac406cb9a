"""The command line, `mnist-idx`.

Commands import what they need, so that `--help` answers at once.
"""

import argparse
import inspect
import io
import os
import re
import runpy
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import __version__
from ..catalog import DATASETS
from ..errors import IdxError, printable


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code; wrong usage is a `SystemExit` with code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # Names may have characters that the terminal has not.
    parser = build_parser()
    if not (sys.argv[1:] if argv is None else argv):
        parser.print_help()
        return 0
    options = vars(parser.parse_args(argv))
    command = options.pop("command")
    if command is not run:
        return call(command, options)
    failed = call(check_program, options)
    if not failed:
        run(**options)  # Its errors are those of the program.
    return failed


def call(command: Callable[..., int | None], options: dict[str, Any]) -> int:
    """Run a command, and say what went wrong. Returns the exit code."""
    try:
        try:
            with ending_on_sigterm():
                return int(command(**options) or 0)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("mnist-idx: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        from datasets.exceptions import DatasetsError

        if not isinstance(error, (ValueError, OSError, DatasetsError)):
            raise
        message = error.for_command_line() if isinstance(error, IdxError) else str(error)
        message = message or type(error).__name__
        # The lines of our own errors are escaped: a line break in them is ours.
        print("mnist-idx:", "\n".join(map(printable, message.split("\n"))), file=sys.stderr)
        return 1


ENDING = (signal.SIGTERM, getattr(signal, "SIGHUP", None))


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Clean up when another program ends this one. A forked process ends at once, as usual."""
    process = os.getpid()

    def end(number: int, frame: object) -> None:
        if os.getpid() != process:
            os._exit(128 + number)
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # SIGHUP: the terminal is closed.
    usual = {name: signal.signal(name, end) for name in ENDING if name is not None}
    try:
        yield
    finally:
        for name, handler in usual.items():
            signal.signal(name, handler)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command line.

    A command is a function: its name, its help and its options.
    """
    about = "MNIST, and anyone's IDX files, as Hugging Face datasets."
    mirror = "MNIST_IDX_MIRROR is a URL or path that is tried before the built-in sources of MNIST."
    parser = argparse.ArgumentParser(prog="mnist-idx", description=about, epilog=mirror)
    parser.add_argument("--version", action="version", version=f"mnist-idx {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def start(
        command: Callable[..., int | None], *parents: argparse.ArgumentParser
    ) -> Callable[..., Any]:
        summary, _, details = (inspect.getdoc(command) or "").partition("\n\n")
        added = commands.add_parser(
            command.__name__.replace("_", "-"), parents=parents, help=summary, description=summary
        )
        added.epilog = f"{details}\n\nexit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted"
        added.formatter_class = argparse.RawDescriptionHelpFormatter
        added.set_defaults(command=command)
        return added.add_argument

    names = ", ".join(DATASETS)
    source = argparse.ArgumentParser(add_help=False)
    add = source.add_argument
    what = f"a config ({names}), or the path or URL of IDX files (default: mnist)"
    add("source", nargs="?", default="mnist", metavar="SOURCE", help=what)
    add("--prefix", help="which of several datasets in one place, by the start of their file names")
    configs = argparse.ArgumentParser(add_help=False)
    add = configs.add_argument
    which = f"{names}; may be repeated (default: mnist and subset)"
    add("--config", action="append", choices=DATASETS, metavar="CONFIG", help=which)
    add(
        "--num-samples",
        type=int,
        metavar="N",
        help="of subset: most records per split (default: 100)",
    )
    add(
        "--seed", type=int, metavar="N", help="of subset: seed of the random generator (default: 1)"
    )
    add(
        "--sampling",
        choices=("first", "uniform"),
        help="of subset: the first records, or any (default: first)",
    )

    add = start(preview, source)
    add("--split", default="train", help="split to draw (default: train)")
    add("--num", type=int, default=25, metavar="N", help="records to draw (default: 25)")
    add("--output", type=Path, metavar="FILE", help="picture to write (default: SOURCE.png)")
    add("--overwrite", action="store_true", help="replace an existing picture")
    add("--ascii", action="store_true", help="print the images as text instead")

    start(verify, source)

    add = start(convert)
    add(
        "source",
        metavar="SOURCE",
        help="what load_dataset takes: imagefolder, a name on the Hub, …",
    )
    add("target", metavar="TARGET", help="folder to create, or a path that ends in .tar")
    add("--name", metavar="CONFIG", help="config of the dataset")
    add("--data-dir", metavar="FOLDER", help="folder with its files")
    add(
        "--data-files",
        action="append",
        metavar="[SPLIT=]PATH",
        help="its files, or those of a split; may be repeated",
    )
    add("--split", help='split to write, for example test or "train[:1000]" (default: all)')
    add("--revision", help="version of the dataset on the Hub")
    add("--streaming", action="store_true", help="do not keep a copy of the dataset in the cache")
    add("--image-column", metavar="NAME", help="column of images (default: the only one)")
    add(
        "--label-column", metavar="NAME", help="column of labels (default: the only one of classes)"
    )
    add("--mode", choices=("L", "RGB"), help="convert all images to gray (L) or color (RGB)")
    add("--size", type=size, metavar="ROWSxCOLS", help="resize all images, for example to 28x28")
    add("--plain", dest="compress", action="store_false", help="do not compress the files")
    add(
        "--overwrite",
        action="store_true",
        help="replace a tar, or a folder of nothing but IDX files",
    )

    add = start(push, configs)
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

    add = start(export, configs)
    add("folder", metavar="FOLDER", help="folder to create")
    add("--overwrite", action="store_true", help="replace an earlier export")

    add = start(catalog_row)
    add("files", nargs="+", metavar="FILES", help="images and labels, as they are published")
    add("--name", default="my_dataset", help="name of the config (default: my_dataset)")

    add = start(run)
    add("-m", dest="is_module", action="store_true", help="PROGRAM is a module, as for python -m")
    add("program", metavar="PROGRAM", help="a Python file")
    add("arguments", nargs=argparse.REMAINDER, metavar="ARGS", help="its arguments")
    return parser


def size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9][0-9]{0,18})x([1-9][0-9]{0,18})", text.lower())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r}: expected ROWSxCOLS, for example 28x28")
    return int(match[1]), int(match[2])


def check_source(source: str, prefix: str | None) -> None:
    if source in DATASETS and prefix is not None:
        raise IdxError(f"--prefix {prefix}: {source} is a single dataset. Leave out --prefix.")
    if (
        source not in DATASETS
        and "://" not in source
        and not os.path.exists(os.path.expanduser(source))
    ):
        raise IdxError(
            f"{source}: no such file, folder or config. The configs are {', '.join(DATASETS)}."
        )


def preview(
    source: str,
    prefix: str | None,
    split: str,
    num: int,
    output: Path | None,
    overwrite: bool,
    ascii: bool,
) -> None:
    """Draw the first records as a picture, and summarize the dataset.

    examples:
      mnist-idx preview tiny                               writes tiny.png
      mnist-idx preview tiny --split test --num 3 --ascii
      mnist-idx preview copy --output digits.png           a folder, a tar, a zip, or a URL of one
    """
    check_source(source, prefix)
    if num < 1:
        raise IdxError(f"--num {num}: expected at least 1.")
    if source in DATASETS and split not in DATASETS[source].splits:
        expected = " or ".join(DATASETS[source].splits)
        raise IdxError(f"--split {split}: expected {expected}.")
    output = output or Path(picture_name(source))
    if output.exists() and not (overwrite or ascii):
        raise IdxError(
            f"{output}: exists already. Choose another file with --output, or add --overwrite."
        )
    from datasets import load_dataset

    from .preview import contact_sheet, save_picture, summarize, text_sheet

    path = "mnist_idx" if source in DATASETS else "idxfolder"
    options = (
        {"name": source}
        if source in DATASETS
        else {"data_dir": source, "prefix": prefix, "as_array": True}
    )
    splits = load_dataset(path, **options)
    if split not in splits:
        raise IdxError(f"--split {split}: expected one of {', '.join(splits)}.")
    print(f"{printable(source)} ({path}): {summarize(splits, shutil.get_terminal_size().columns)}")
    if ascii:
        print(f"\n{text_sheet(splits[split], num)}")
        return
    save_picture(contact_sheet(splits[split], num=num), output, overwrite)
    print(f"wrote {printable(str(output))}: the first records of {split}")


def picture_name(source: str) -> str:
    """The name of the picture of a source: that of the file, without the endings of archives and
    the query of a URL.
    """
    path = source.partition("?")[0] if "://" in source else os.path.abspath(source)
    name = re.split(r"\.(?:tar|tgz|zip|gz|bz2|xz)\b", os.path.basename(path.rstrip("/")))[0]
    return (printable(name) or "preview") + ".png"


def verify(source: str, prefix: str | None) -> int:
    """Check that IDX files are complete, undamaged, fit to be loaded, and the published ones.

    examples:
      mnist-idx verify tiny
      mnist-idx verify copy                                a folder, a tar, a zip, or a URL of one
    """
    check_source(source, prefix)
    from . import verify as library

    reports = library.verify(source, prefix)
    print(library.table(reports))
    problems = [report.problem for report in reports if report.problem]
    for problem in problems:
        print("mnist-idx:", problem, file=sys.stderr)
    print(
        f"{len(problems)} of {len(reports)} files invalid"
        if problems
        else f"{len(reports)} files, all valid"
    )
    return 1 if problems else 0


def convert(source: str, target: str, data_files: list[str] | None, **options: Any) -> None:
    """Write any image dataset as IDX files, named as MNIST's are.

    examples:
      mnist-idx convert mnist_idx copy --name tiny
      mnist-idx convert imagefolder letters.tar --data-dir photos --mode L --size 28x28
      mnist-idx convert parquet digits --data-files train=a.parquet --data-files test=b.parquet
    """
    from datasets import load_dataset

    from .write import class_names, write_idx

    files: Any = data_files
    if data_files and all(re.match(r"\w+=", file) for file in data_files):
        pairs = [file.split("=", 1) for file in data_files]
        files = {split: [path for name, path in pairs if name == split] for split, _ in pairs}
    given = {
        name: options.pop(name) for name in ("name", "data_dir", "split", "revision", "streaming")
    }
    try:
        dataset = load_dataset(source, data_files=files, **given)
    except RuntimeError as error:  # `datasets` runs no scripts
        raise IdxError(f"{source}: {error}") from error
    for file, header in write_idx(dataset, target, **options).items():
        print(f"{printable(file)}: {' x '.join(map(str, header.shape))} {header.dtype}")
    names = class_names(dataset, options["label_column"])
    more = f", label_names={names}" if names else ""
    print(printable(f'Load with load_dataset("idxfolder", data_dir="{target}"{more})'))


def push(repo_id: str, **options: Any) -> None:
    """Publish a dataset on the Hugging Face Hub: Parquet files, card and picture, in one commit.

    examples:
      hf auth login                                        once: store an access token that may
      write mnist-idx push user/mnist_idx --config tiny --dry-run mnist-idx push mnist_idx
      publish as YOU/mnist_idx mnist-idx push other/mnist_idx --create-pr           propose it where
      you may not write
    """
    from .publish import push_to_hub

    result = push_to_hub(repo_id, pop_configs(options), **options)
    for path, size in [*result.files.items(), ("in all", sum(result.files.values()))]:
        print(f"{printable(path):40} {size:>12,} bytes")
    verdict = "Published at" if result.changed else "Nothing to change at"
    print(
        f"{'Nothing was uploaded. It would go to' if options['dry_run'] else verdict} {result.url}"
    )


def export(folder: str, **options: Any) -> None:
    """Write a dataset to a folder as Parquet files with card and picture, as `push` publishes it.

    examples:
      mnist-idx export digits --config tiny                afterwards load_dataset("digits") works
    """
    from . import publish

    print(f"Exported to {publish.export(folder, pop_configs(options), **options)}")


def pop_configs(options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Take the configs to publish, and the options of `subset`, out of `options`."""
    names = options.pop("config") or ["mnist", "subset"]
    given = {
        name: value
        for name in ("num_samples", "seed", "sampling")
        if (value := options.pop(name)) is not None
    }
    if given and "subset" not in names:
        raise IdxError(
            f"--{next(iter(given)).replace('_', '-')} is an option of subset: add --config subset."
        )
    return {name: given if name == "subset" else {} for name in names}


def catalog_row(files: list[str], name: str) -> None:
    """Print the code that adds IDX files to the catalog of the published datasets.

    examples:
      mnist-idx catalog-row my_idx/*.gz --name my_digits   to paste into mnist_idx/catalog.py
    """
    from . import catalog_row as library

    print(library.catalog_row(files, name))


def check_program(program: str, arguments: list[str], is_module: bool) -> None:
    if not (is_module or os.path.exists(program)):
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
