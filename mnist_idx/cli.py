"""The command line: `mnist-idx preview`, and more."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from .convert import MODES, write_idx
from .folder import CONFIGS, DEFAULT_CONFIGS, export
from .hub import push_to_hub
from .idx import IdxError
from .mnist_idx import VERSION, MnistIdx
from .preview import contact_sheet
from .verify import table, verify

NO_IMAGES = np.zeros((0, 1, 1), np.uint8)
Commands = Any  # argparse has no public name for what `add_subparsers` returns

SOURCE_HELP = (
    f"a config ({', '.join(MnistIdx.builder_configs)}), or the path or URL of a folder or archive of IDX files "
    "(default: mnist)"
)

PUSH_EXAMPLES = """\
examples:
  hf auth login                                     once: store an access token that may write
  mnist-idx push mnist_idx                          publish as YOU/mnist_idx
  mnist-idx push team/mnist_idx --private           in an organization's name, visible to its members
  mnist-idx push mnist_idx --dry-run                only list what would be uploaded
  mnist-idx push mnist_idx --config mnist --config subset --num-samples 750
  mnist-idx push other/mnist_idx --create-pr        propose it where you may not write

Afterwards load_dataset("YOU/mnist_idx") works wherever `datasets` is installed. Everything arrives in one commit:
a push that is interrupted or refused leaves the repository as it was, and the same command again finishes it.
Parquet files of earlier pushes that the new one does not have are deleted, nothing else. A push that would change
nothing makes no commit.

The token is looked for in --token, in the environment variable HF_TOKEN, and where `hf auth login` stored it. To
publish elsewhere than on https://huggingface.co, set HF_ENDPOINT. The data comes from the built-in sources, or from
what MNIST_IDX_MIRROR names.

exit codes: 0 done, 1 it could not be done, 2 wrong usage, 130 interrupted
"""

EXPORT_EXAMPLES = """\
examples:
  mnist-idx export digits                           then load_dataset("digits"), or hf upload --repo-type dataset
  mnist-idx export digits --config tiny --overwrite

The folder appears whole or not at all.

exit codes: 0 done, 1 it could not be done, 2 wrong usage, 130 interrupted
"""


CONVERT_EXAMPLES = """\
examples:
  mnist-idx convert imagefolder --data-dir photos my_idx --mode L --size 28x28     a folder of pictures for each class
  mnist-idx convert ylecun/mnist mnist.tar                                         a data set on the Hub
  mnist-idx convert mnist_idx --name tiny my_idx --plain
  mnist-idx convert parquet --data-files train=a.parquet --data-files test=b.parquet my_idx

IDX has no place for the names of classes: they are printed, to be given as label_names when reading.
The target appears whole or not at all.

exit codes: 0 done, 1 it could not be done, 2 wrong usage, 130 interrupted
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="mnist-idx",
        description="MNIST, and anyone's IDX files, as Hugging Face data sets.",
        epilog="Environment: MNIST_IDX_MIRROR, a URL or path that is tried before the built-in sources; HF_HOME, where "
        "downloads and prepared data sets are kept.",
    )
    parser.add_argument("--version", action="version", version=f"mnist-idx {VERSION}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_preview_parser(commands)
    add_verify_parser(commands)
    add_convert_parser(commands)
    add_push_parser(commands)
    add_export_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0 if all went well, 1 if it did not, 2 (by way of `SystemExit`) for wrong usage.
    """
    args = build_parser().parse_args(argv)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print("mnist-idx: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 1
    except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
        print(f"mnist-idx: {explain(error)}", file=sys.stderr)
        return 1


def explain(error: BaseException) -> str:
    """The message that tells what went wrong; `datasets` wraps it in ones that do not."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, IdxError):
            return str(cause)
        cause = cause.__cause__
    return str(error) or type(error).__name__


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """What `load_dataset("mnist_idx", …)` takes."""
    parser.add_argument(
        "config",
        nargs="?",
        default=None,
        metavar="CONFIG",
        help=SOURCE_HELP,
    )
    parser.add_argument("--split", default="train", help="split to use (default: %(default)s)")
    parser.add_argument("--data-set", metavar="NAME", help="which of several data sets in one archive")


def source_options(config: str | None) -> dict[str, Any]:
    """The options of `load_dataset` for a config's name, a path or a URL."""
    if config is None or config in MnistIdx.builder_configs:
        return {"name": config}
    if "://" in config or Path(config).exists():
        return {"data_dir": config}
    names = ", ".join(MnistIdx.builder_configs)
    raise IdxError(f"{config!r}: found no such file or folder, and no such config. The configs are {names}.")


def add_preview_parser(commands: Commands) -> None:
    """`mnist-idx preview`."""
    parser = commands.add_parser(
        "preview",
        help="draw the first records as a picture",
        description="Draws records as a contact sheet, each with its label, and prints a summary of the data set.",
        epilog="Examples: mnist-idx preview tiny; mnist-idx preview my_idx_folder --split test --num 100",
    )
    add_source_arguments(parser)
    parser.add_argument("--num", type=int, default=25, metavar="N", help="records to draw (default: %(default)s)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("digits.png"),
        metavar="FILE",
        help="picture to write (default: %(default)s)",
    )
    parser.set_defaults(run=run_preview)


def run_preview(args: argparse.Namespace) -> int:
    """Draw the first records of a split, and print what the data set is."""
    if args.num < 1:
        raise IdxError(f"--num {args.num}: expected at least 1.")
    options = source_options(args.config)
    if args.data_set is not None:
        options["data_set"] = args.data_set
    try:
        data = datasets.load_dataset("mnist_idx", **options)
    except IdxError as error:
        if "as_array=True" not in str(error):  # the way out that it names, where records cannot be images
            raise
        data = datasets.load_dataset("mnist_idx", **options, as_array=True)
    if args.split not in data:
        raise IdxError(f"--split {args.split}: expected one of {', '.join(data)}.")
    print_summary(data)
    records = data[args.split].select(range(min(args.num, len(data[args.split]))))
    label = records.features.get("label")
    feature = records.features["image"]
    dtype = None if isinstance(feature, datasets.Image) else feature.dtype
    images = np.stack([np.asarray(image, dtype) for image in records["image"]]) if len(records) else NO_IMAGES
    sheet = contact_sheet(images, None if label is None else records["label"], label and label.names)
    sheet.save(args.output)
    print(f"wrote {args.output}: the first {len(records)} records of {args.split}")
    return 0


def print_summary(data: datasets.DatasetDict) -> None:
    """Print what the data set is, its splits, and how many records each class has."""
    info = next(iter(data.values())).info
    print(f"{info.dataset_name}/{info.config_name} {info.version}: {info.description}")
    for split, records in data.items():
        print(f"{split}: {len(records):,} records{describe_image(records)}")
        label = records.features.get("label")
        if label is not None:
            counts = np.bincount(records.data.column("label").to_numpy(), minlength=label.num_classes)
            print("  " + ", ".join(f"{name}: {count:,}" for name, count in zip(label.names, counts, strict=True)))


def describe_image(records: datasets.Dataset) -> str:
    """What the images of a split are, judging by the first."""
    if not len(records):
        return ""
    image = records[0]["image"]
    if isinstance(records.features["image"], datasets.Image):
        return f", {image.height}x{image.width} {'gray' if image.mode == 'L' else 'RGB'} images"
    feature = records.features["image"]
    return f", arrays of {'x'.join(map(str, feature.shape))} {feature.dtype}"


def add_verify_parser(commands: Commands) -> None:
    """`mnist-idx verify`."""
    parser = commands.add_parser(
        "verify",
        help="check that IDX files are whole, belong together, and are the published ones",
        description="Reads every IDX file of a source to its end and lists what is in it, whether it is a published "
        "one, and whether it is as it should be. Nothing is written to disk.",
        epilog="Examples: mnist-idx verify; mnist-idx verify qmnist; mnist-idx verify my_idx_folder. "
        "Exit code 1 if anything is wrong.",
    )
    parser.add_argument("source", nargs="?", metavar="SOURCE", help=SOURCE_HELP)
    parser.add_argument("--data-set", metavar="NAME", help="which of several data sets in one archive (default: all)")
    parser.set_defaults(run=run_verify)


def run_verify(args: argparse.Namespace) -> int:
    """Print a table of the members of a source, and what is wrong with them."""
    findings = verify(next(iter(source_options(args.source).values())), args.data_set)
    print(table(findings))
    problems = [finding.problem for finding in findings if finding.problem]
    for problem in problems:
        print(f"mnist-idx: {problem}", file=sys.stderr)
    print(
        f"{len(problems)} of {len(findings)} files wrong"
        if problems
        else f"{len(findings)} files, all as they should be"
    )
    return 1 if problems else 0


def add_convert_parser(commands: Commands) -> None:
    """`mnist-idx convert`."""
    parser = commands.add_parser(
        "convert",
        help="write any image data set as IDX files",
        description="Write any image data set that `datasets` can load as IDX files, named as MNIST's are.",
        epilog=CONVERT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="what load_dataset takes: imagefolder, parquet, a name on the Hub"
    )
    parser.add_argument("target", metavar="TARGET", help="folder to create, or a path that ends in .tar")
    parser.add_argument("--name", metavar="CONFIG", help="config of the data set")
    parser.add_argument("--data-dir", metavar="FOLDER", help="folder with its files")
    parser.add_argument(
        "--data-files", action="append", metavar="[SPLIT=]PATH", help="files, or the files of a split; may be repeated"
    )
    parser.add_argument(
        "--split", metavar="SPLIT", help='split to write, such as test or "train[:1000]" (default: all)'
    )
    parser.add_argument("--revision", metavar="REVISION", help="version of the data set on the Hub")
    parser.add_argument("--streaming", action="store_true", help="do not keep a copy of the data set in the cache")
    parser.add_argument("--image-column", metavar="NAME", help="column of images (default: the only one)")
    parser.add_argument("--label-column", metavar="NAME", help="column of labels (default: the only one of classes)")
    parser.add_argument("--mode", choices=MODES, help="make all images gray (L) or colour (RGB)")
    parser.add_argument("--size", type=parse_size, metavar="ROWSxCOLS", help="resize all images, for example to 28x28")
    parser.add_argument("--plain", action="store_true", help="do not pack the files with gzip")
    parser.add_argument("--overwrite", action="store_true", help="replace a tar, or a folder of nothing but IDX files")
    parser.set_defaults(run=run_convert)


def parse_size(text: str) -> tuple[int, int]:
    """The meaning of "28x28"."""
    rows, _, columns = text.lower().partition("x")
    if not (rows.isdecimal() and columns.isdecimal() and int(rows) and int(columns)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected ROWSxCOLS, for example 28x28")
    return int(rows), int(columns)


def parse_data_files(arguments: Sequence[str] | None) -> dict[str, list[str]] | list[str] | None:
    """The meaning of `--data-files train=a.parquet --data-files test=b.parquet`."""
    if not arguments:
        return None
    pairs = [argument.partition("=")[::2] for argument in arguments]
    if not any(path and split.isidentifier() for split, path in pairs):
        return list(arguments)
    files: dict[str, list[str]] = {}
    for split, path in pairs:
        if not path or not split.isidentifier():
            raise IdxError(f"--data-files: expected SPLIT=PATH each time, or never; found {', '.join(arguments)}.")
        files.setdefault(split, []).append(path)
    return files


def run_convert(args: argparse.Namespace) -> int:
    """Write a data set as IDX files, and print what they are and how to read them."""
    try:
        data = datasets.load_dataset(
            args.source,
            args.name,
            data_dir=args.data_dir,
            data_files=parse_data_files(args.data_files),
            split=args.split,
            revision=args.revision,
            streaming=args.streaming,
        )
    except RuntimeError as error:  # with which `datasets` refuses to run a data set's script
        raise IdxError(f"{args.source}: {error}") from error
    written = write_idx(
        data,
        args.target,
        image_column=args.image_column,
        label_column=args.label_column,
        mode=args.mode,
        size=args.size,
        compress=not args.plain,
        overwrite=args.overwrite,
    )
    for name, header in written.items():
        print(f"{name}: {' x '.join(map(str, header.shape))} {header.dtype}")
    names = label_names(data, args.label_column)
    print(f'Read with load_dataset("mnist_idx", data_dir="{args.target}"{f", label_names={names}" if names else ""})')
    return 0


def label_names(data: Any, column: str | None) -> list[str] | None:
    """The names of the classes, for which IDX has no place, where they are not their numbers."""
    features = (next(iter(data.values())) if isinstance(data, dict) else data).features or {}
    classes = [
        feature
        for name, feature in features.items()
        if isinstance(feature, datasets.ClassLabel) and column in (None, name)
    ]
    names = classes[0].names if len(classes) == 1 else []
    return names if names != [str(number) for number in range(len(names))] else None


def add_push_parser(commands: Commands) -> None:
    """`mnist-idx push`."""
    parser = commands.add_parser(
        "push",
        help="publish the data set on the Hugging Face Hub",
        description="Publish the data set on the Hugging Face Hub: Parquet files, card and preview picture.",
        epilog=PUSH_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "repo_id", metavar="REPOSITORY", help="name, user/name or organization/name; created if missing"
    )
    _add_config_arguments(parser)
    parser.add_argument(
        "--private",
        action=argparse.BooleanOptionalAction,
        help="create the repository private, or public (default: what its owner has set); one that exists must be that",
    )
    parser.add_argument("--token", help="access token, instead of the stored one")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to publish on, created if missing (default: main)")
    parser.add_argument("--commit-message", metavar="TEXT", help="first line of the commit's message")
    parser.add_argument("--commit-description", metavar="TEXT", help="the rest of it")
    parser.add_argument("--create-pr", action="store_true", help="open a pull request instead of changing the branch")
    parser.add_argument(
        "--dry-run", action="store_true", help="list what would be uploaded, with sizes; needs no token"
    )
    parser.set_defaults(run=run_push)


def run_push(args: argparse.Namespace) -> int:
    """Publish the data set, and print what it consists of and where it is."""
    published = push_to_hub(
        args.repo_id,
        _configs(args),
        private=args.private,
        token=args.token,
        revision=args.revision,
        commit_message=args.commit_message,
        commit_description=args.commit_description,
        create_pr=args.create_pr,
        dry_run=args.dry_run,
    )
    _print_files(published.files)
    if args.dry_run:
        print(f"Nothing was uploaded. It would go to {published.url}")
    else:
        print(f"{'Published at' if published.changed else 'Nothing to change at'} {published.url}")
    return 0


def add_export_parser(commands: Commands) -> None:
    """`mnist-idx export`."""
    parser = commands.add_parser(
        "export",
        help="write the data set to a folder as Parquet files with its card",
        description="Write to a folder what `push` publishes: Parquet files, card and preview picture.",
        epilog=EXPORT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="FOLDER", help="folder to create")
    _add_config_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    parser.set_defaults(run=run_export)


def run_export(args: argparse.Namespace) -> int:
    """Write the data set to a folder, and print what it consists of."""
    folder = export(args.folder, _configs(args), overwrite=args.overwrite)
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    _print_files({name: path.stat().st_size for name, path in files.items()})
    print(f"Exported to {folder}")
    return 0


def _add_config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        dest="configs",
        action="append",
        choices=CONFIGS,
        help="configuration to include; may be repeated (default: mnist and subset)",
    )
    subset = parser.add_argument_group("the records of the configuration `subset`")
    subset.add_argument("--num-samples", type=int, metavar="N", help="the most that a split keeps (default: 100)")
    subset.add_argument("--seed", type=int, metavar="N", help="of the random generator (default: 1)")
    subset.add_argument(
        "--sampling",
        choices=("first", "uniform"),
        help="take the first records, or draw them from the whole split (default: first)",
    )


def _configs(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Configurations with their options."""
    names = args.configs or DEFAULT_CONFIGS
    given = {name: getattr(args, name) for name in ("num_samples", "seed", "sampling")}
    options = {name: value for name, value in given.items() if value is not None}
    if options and "subset" not in names:
        raise IdxError(
            f"--{next(iter(options)).replace('_', '-')} is about the configuration subset: add --config subset."
        )
    return {name: options if name == "subset" else {} for name in names}


def _print_files(files: dict[str, int]) -> None:
    width = max(map(len, files))
    for name, size in files.items():
        print(f"{name:{width}} {size:>12,} bytes")
    print(f"{'in all':{width}} {sum(files.values()):>12,} bytes")
