"""Measure the package against what else could be used, or against another version of it.

Sides that are compared take turns, each in a process of its own. A row gives the run with the worst
ratio, ours to the other: of all figures, less is better.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support" / "servers"))

from comparisons import Inputs, Sizes, make_comparisons
from http_server import Server
from runner import Comparison, Known, Runner, Side, missing_modules, rows_of, run_rounds

CHECKOUT = Path(__file__).resolve().parents[2]
ARCHIVE = CHECKOUT.parent / "shared" / "data" / "mnist_database.tar"
OURS = "mnist_idx"
COLUMNS = ("measurement", "compared with", "figure", OURS, "the other", "ours / the other")
RECORDS, QUICK_RECORDS = 1_000_000, 5_000
# Arrow counts the bytes of a table of arrays in 31 bits: more than 512 images of 2048 × 2048 do not
# fit in one.
NORMAL = Sizes(RECORDS, digits=60_000, large_images=600, photos=10, thumbnails=10_000)
QUICK = Sizes(QUICK_RECORDS, digits=2_000, large_images=8, photos=2, thumbnails=500)


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="which comparisons; all by default")
    add("--list", action="store_true", help="say what each comparison measures, and end")
    add("--runs", type=int, help="the worst of so many is printed (default: 3)")
    add("--records", type=int, metavar="N", help=f"in large files (default: {RECORDS:,})")
    add("--timeout", type=float, default=300, metavar="SECONDS", help="of a side (default: 300)")
    add("--quick", action="store_true", help="small sizes and one run, to see whether it works")
    add("--package", type=Path, default=CHECKOUT, help="folder that holds mnist_idx/")
    add("--archive", type=Path, default=ARCHIVE, help="the MNIST archive (default: %(default)s)")
    add("--beside", type=Path, metavar="FOLDER", help="another checkout, to compare with instead")
    options = parser.parse_args(arguments)
    if options.runs is None:
        options.runs = 1 if options.quick else 3
    if options.runs < 1:
        parser.error(f"--runs {options.runs}: expected at least 1")
    if options.records is None:
        options.records = QUICK_RECORDS if options.quick else RECORDS
    if options.records < 100:
        parser.error(f"--records {options.records}: expected at least 100")
    if not options.archive.is_file() and not options.list:
        parser.error(f"--archive {options.archive}: no such file")
    return options


def choose(comparisons: Sequence[Comparison], names: Sequence[str]) -> list[Comparison]:
    """The comparisons of these names, in their order; all without names."""
    by_name = {comparison.name: comparison for comparison in comparisons}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise SystemExit(f"unknown: {', '.join(unknown)}. There are: {', '.join(by_name)}")
    return [by_name[name] for name in names] if names else list(comparisons)


def available_sides(comparison: Comparison) -> dict[str, Side | Known]:
    """What a comparison compares with, as far as it is installed."""
    available = {}
    for label, side in comparison.others.items():
        missing = missing_modules(side)
        if missing:
            advice = f"pip install {' '.join(missing)}"
            print(f"{comparison.name}: no row for {label}: {advice}", file=sys.stderr)
        else:
            available[label] = side
    return available


def compare(
    comparison: Comparison, runner: Runner, package: Path, beside: Path | None, runs: int
) -> None:
    """Print the rows of a comparison."""
    if beside is None:
        others = available_sides(comparison)
        sides = {label: (side, package) for label, side in others.items()}
    else:
        sides = {str(beside): (comparison.ours, beside)}
    if not sides:
        return
    for needed in comparison.needs:
        if not missing_modules(needed.made_by):
            runner.make(needed, package)
    rounds = run_rounds(runner, {OURS: (comparison.ours, package), **sides}, runs)
    for label in sides:
        for cells in rows_of(comparison, rounds, OURS, label):
            print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    options = parse_options()
    sizes = replace(QUICK if options.quick else NORMAL, records=options.records)
    archive, package = str(options.archive.resolve()), options.package.resolve()
    beside = None if options.beside is None else options.beside.resolve()
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        inputs = Inputs(folder, archive, sizes)
        chosen = choose(make_comparisons(inputs, server), options.names)
        if options.list:
            for comparison in chosen:
                print(f"{comparison.name:24} {comparison.measures}")
            return
        runner = Runner(archive, folder, server, options.timeout)
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
        for comparison in chosen:
            compare(comparison, runner, package, beside, options.runs)


if __name__ == "__main__":
    main()
