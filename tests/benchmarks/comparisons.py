"""What is compared with what."""

from dataclasses import dataclass, replace
from functools import partial

from figures import CACHE, FETCHED, FILES, MEMORY, REQUESTS, SECONDS
from http_server import Server
from mnist_files import IMAGES, LABELS
from runner import Comparison, Input, Known, program_file, task

DIGIT_BYTES = 28 * 28
LARGE_SIDE = 2048  # of gray images
PHOTO_SIDE, THUMBNAIL_SIDE = 1024, 32  # of RGB images
BATCH = 256
TORCHVISION = ("torch", "torchvision")
floor, peer = partial(task, module="floors"), partial(task, module="peers")


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    records: int  # of large files
    digits: int  # of the first records of MNIST
    large_images: int
    photos: int
    thumbnails: int


class Inputs:
    """The files that comparisons read, and where they are."""

    def __init__(self, folder: str, archive: str, sizes: Sizes) -> None:
        self.archive = archive
        self.sizes = sizes
        self.cache = f"{folder}/prepared"  # of datasets that programs find prepared
        self._folder = folder
        self.unpacked = self._input("mnist", "unpack", archive=archive)
        self.gzip = f"{self.unpacked.path}/gzip"
        self._unpacked_raw = f"{self.unpacked.path}/MNIST/raw"
        self.parquet = self._input("parquet", "make_parquet", archive=archive)
        self.train_parquet = f"{self.parquet.path}/train.parquet"
        self.test_parquet = f"{self.parquet.path}/test.parquet"
        self._add_digits()
        self._add_large_files()

    def _add_digits(self) -> None:
        """What is made of the first records of MNIST."""
        self.digits = self._input(
            "digits",
            "make_digits",
            of=(self.unpacked, self.parquet),
            source=self._unpacked_raw,
            parquet=self.train_parquet,
            records=self.sizes.digits,
        )
        raw, parquet = f"{self.digits.path}/MNIST/raw", f"{self.digits.path}/digits.parquet"
        self.digits_raw, self.digits_parquet = raw, parquet
        of = (self.digits,)
        self.saved = self._input("saved", "save_datasets", of=of, source=raw)
        self.webdataset = self._input(
            "webdataset", "make_webdataset", of=of, modules=("webdataset",), parquet=parquet
        )
        self.litdata = self._input("litdata", "make_litdata", of=of, modules=("litdata",), raw=raw)

    def _add_large_files(self) -> None:
        sizes = self.sizes
        self.raw = self._input(
            "raw",
            "make_raw",
            num_bytes=sizes.records * DIGIT_BYTES,
            of=(self.unpacked,),
            source=self._unpacked_raw,
            records=sizes.records,
        )
        self.compressed = self._input(
            "compressed", "compress", of=(self.raw,), source=self.raw.path
        )
        self.large = self._input(
            "large",
            "make_large",
            num_bytes=sizes.large_images * LARGE_SIDE**2,
            count=sizes.large_images,
            side=LARGE_SIDE,
        )
        self.photos = self._pictures("photos", sizes.photos, PHOTO_SIDE)
        self.thumbnails = self._pictures("thumbnails", sizes.thumbnails, THUMBNAIL_SIDE)

    def _pictures(self, name: str, count: int, side: int) -> Input:
        num_bytes = 3 * count * side**2
        file = f"{name}-idx4-ubyte"
        return self._input(file, "make_pictures", num_bytes=num_bytes, count=count, side=side)

    def _input(
        self,
        name: str,
        function: str,
        *,
        num_bytes: int = 0,
        of: tuple[Input, ...] = (),
        modules: tuple[str, ...] = (),
        **arguments: object,
    ) -> Input:
        """A file or folder of this name, which a function of `inputs.py` makes at `target`."""
        path = f"{self._folder}/{name}"
        making = task(function, module="inputs", modules=modules, target=path, **arguments)
        return Input(path, making, num_bytes, of)


def make_comparisons(inputs: Inputs, server: Server) -> list[Comparison]:
    """All comparisons, in the order of the table."""
    return [
        *whole_splits(inputs),
        *streams(inputs, server),
        *arrays(inputs),
        *large_files(inputs),
        *selections(inputs),
        *writing(inputs),
        *pictures(inputs),
        *remote_files(inputs, server),
        *exports(inputs),
        *epochs(inputs),
        *programs(inputs),
    ]


def whole_splits(inputs: Inputs) -> list[Comparison]:
    files = {"train": inputs.train_parquet, "test": inputs.test_parquet}
    raw = {"path": "idxfolder", "data_dir": inputs.raw.path}
    return [
        Comparison(
            "prepare",
            "Prepare both splits of MNIST from the local tar.",
            task("prepare", path="mnist_idx"),
            {
                "a loading script that yields examples": peer(
                    "prepare_stock", archive=inputs.archive
                ),
                "Parquet": task("prepare", path="parquet", data_files=files),
                "decode, encode and write alone": floor("prepare_floor", archive=inputs.archive),
            },
            needs=(inputs.parquet,),
        ),
        Comparison(
            "num-proc",
            "Prepare a large raw file as PNG files with two processes.",
            task("prepare", **raw, num_proc=2),
            {"one process": task("prepare", **raw)},
            needs=(inputs.raw,),
        ),
        Comparison(
            "large",
            "Prepare images of 2048 × 2048 as arrays.",
            task("prepare", path="idxfolder", data_dir=inputs.large.path, as_array=True),
            {"copying the file": floor("copy_file", path=f"{inputs.large.path}/{IMAGES}")},
            needs=(inputs.large,),
        ),
    ]


def streams(inputs: Inputs, server: Server) -> list[Comparison]:
    comparisons = []
    forms = {
        "python": (10_000, "10,000 records as Python objects"),
        "numpy": (10_000, "10,000 records as NumPy batches"),
        "arrow": (60_000, "60,000 records as Arrow batches"),
    }
    files = {"train": inputs.train_parquet}
    for form, (most, what) in forms.items():
        read = partial(task, "stream", form=form, most=most)
        comparison = Comparison(
            form,
            f"Stream {what} from the local disk.",
            read(path="mnist_idx"),
            {"Parquet": read(path="parquet", data_files=files)},
            needs=(inputs.parquet,),
        )
        comparisons.append(comparison)
    archive, parquet = "/mnist.tar", "/train.parquet"
    read = partial(task, "stream", form="python", most=100)
    comparison = Comparison(
        "http",
        "Stream the first 100 records of the train split over HTTP.",
        read(path="mnist_idx", mirror=server.url(archive), served={archive: inputs.archive}),
        {
            "Parquet": read(
                path="parquet",
                data_files={"train": server.url(parquet)},
                served={parquet: inputs.train_parquet},
            )
        },
        figures=(SECONDS, MEMORY, FETCHED, REQUESTS),
        needs=(inputs.parquet,),
    )
    return [*comparisons, comparison]


def arrays(inputs: Inputs) -> list[Comparison]:
    archive, root = inputs.archive, inputs.unpacked.path
    return [
        Comparison(
            "arrays",
            "Load the train split as arrays from the local tar, verified.",
            task("arrays"),
            {
                "idx2numpy": peer("arrays_idx2numpy", archive=archive),
                "gzip + np.frombuffer": peer("arrays_plain", archive=archive),
                "torchvision, from raw files": peer(
                    "arrays_torchvision", modules=TORCHVISION, root=root
                ),
            },
            needs=(inputs.unpacked,),
        ),
        Comparison(
            "program",
            "A whole program that loads the train split as arrays from the local tar, verified.",
            program_file("load_ours", archive),
            {
                "idx2numpy, from gzip files": program_file("load_idx2numpy", inputs.gzip),
                "torchvision, from raw files": program_file(
                    "load_torchvision", root, modules=TORCHVISION
                ),
            },
            needs=(inputs.unpacked,),
        ),
    ]


def large_files(inputs: Inputs) -> list[Comparison]:
    raw, compressed = inputs.raw.path, inputs.compressed.path
    last = partial(task, "arrays", path="idxfolder", split="train[-100:]")
    return [
        Comparison(
            "preview",
            "`mnist-idx preview` of a large raw file, a whole program.",
            program_file("command", "preview", raw, "--output", "preview.png"),
            {
                "`mnist-idx --version`": program_file("command", "--version"),
                "`import datasets`": program_file("import_datasets"),
            },
            figures=(SECONDS, MEMORY, CACHE),
            needs=(inputs.raw,),
        ),
        Comparison(
            "verify",
            "`verify` of a large raw file.",
            task("verify", source=raw),
            {"SHA-256 of the files": floor("hash_files", folder=raw)},
            needs=(inputs.raw,),
        ),
        Comparison(
            "gzip-last",
            "`load_arrays` of the last 100 records of a large gzip file.",
            last(data_dir=compressed),
            {"the same of the raw file": last(data_dir=raw)},
            needs=(inputs.raw, inputs.compressed),
        ),
    ]


def selections(inputs: Inputs) -> list[Comparison]:
    raw = {"path": "idxfolder", "data_dir": inputs.raw.path}
    needs = (inputs.raw,)
    first = partial(task, "stream", **raw, form="python", most=1)
    whole = partial(task, "arrays", **raw)
    stream = partial(
        task, "stream", **raw, as_array=True, form="arrow", most=inputs.sizes.records, seed=1
    )
    in_memory = inputs.sizes.records * (DIGIT_BYTES + 1) / 1e6
    return [
        Comparison(
            "seeded-first",
            "Stream the first record of a large raw file that `seed=` shuffles whole.",
            first(seed=1),
            {"without a seed": first()},
            needs=needs,
        ),
        Comparison(
            "seeded-arrays",
            "`load_arrays` of a large raw file that `seed=` shuffles whole.",
            whole(seed=1),
            {
                "without a seed": whole(),
                "np.memmap, taken in the order of a permutation": floor(
                    "gather", folder=inputs.raw.path
                ),
                "the size of the arrays": Known({MEMORY: in_memory}),
            },
            needs=needs,
        ),
        Comparison(
            "seeded-shards",
            "Stream a large raw file that `seed=` shuffles whole, with `num_shards=64`.",
            stream(num_shards=64),
            {"with one shard": stream(num_shards=1)},
            needs=needs,
        ),
    ]


def writing(inputs: Inputs) -> list[Comparison]:
    images, saved_arrays = f"{inputs.saved.path}/images", f"{inputs.saved.path}/arrays"
    raw = {"images": f"{inputs.digits_raw}/{IMAGES}", "labels": f"{inputs.digits_raw}/{LABELS}"}
    convert = ("convert", "parquet", "written", "--data-files", inputs.digits_parquet)
    return [
        Comparison(
            "write-images",
            "`write_idx` of a `Dataset` of 60,000 pictures, uncompressed.",
            task("write_saved", folder=images),
            {"inflating and writing alone": floor("write_inflated", folder=images)},
            needs=(inputs.saved,),
        ),
        Comparison(
            "write-arrays",
            "`write_idx` of a `Dataset` of 60,000 arrays, uncompressed.",
            task("write_saved", folder=saved_arrays),
            {"copying and writing alone": floor("write_buffers", folder=saved_arrays)},
            needs=(inputs.saved,),
        ),
        Comparison(
            "convert",
            "`mnist-idx convert` of a Parquet file of 60,000 pictures, a whole program.",
            program_file("command", *convert),
            {"Pillow, idx2numpy and gzip": program_file("convert_by_hand", inputs.digits_parquet)},
            needs=(inputs.digits,),
        ),
        Comparison(
            "gzip",
            "`write_idx` of 60,000 records in arrays, compressed.",
            task("write_compressed", **raw),
            {"gzip of the standard library": floor("write_gzip", **raw)},
            figures=(SECONDS, MEMORY, FILES),
            needs=(inputs.digits,),
        ),
    ]


def pictures(inputs: Inputs) -> list[Comparison]:
    comparisons = []
    kinds = {
        "png-photos": (inputs.photos, f"{PHOTO_SIDE} × {PHOTO_SIDE}"),
        "png-thumbnails": (inputs.thumbnails, f"{THUMBNAIL_SIDE} × {THUMBNAIL_SIDE}"),
    }
    for name, (source, size) in kinds.items():
        files = {"train": [source.path]}
        comparison = Comparison(
            name,
            f"Prepare RGB images of {size}, like photographs, as PNG files.",
            task("encode", path="idxfolder", data_files=files),
            {
                "Pillow": peer("save_pictures", path=source.path),
                "the size of the pixels": Known({FILES: source.num_bytes / 1e6}),
                "copying the file": floor("copy_file", path=source.path),
            },
            figures=(SECONDS, MEMORY, FILES),
            needs=(source,),
        )
        comparisons.append(comparison)
    return comparisons


def remote_files(inputs: Inputs, server: Server) -> list[Comparison]:
    served = {}
    for name in (IMAGES, LABELS):
        served[f"/raw/{name}"] = f"{inputs.digits_raw}/{name}"
    urls = [server.url(path) for path in served]
    remote = {"path": "idxfolder", "data_files": {"train": urls}}
    download = partial(floor, "download", urls=urls, served=served)
    sample = {"num_samples": 500, "seed": 1, "sampling": "uniform"}
    figures = (SECONDS, MEMORY, FETCHED, REQUESTS)
    return [
        Comparison(
            "remote-sample",
            "Stream 500 of 60,000 records, drawn by a seed, from raw files over HTTP.",
            task("stream", **remote, **sample, form="python", most=500, served=served),
            {"downloading the files": download(take=500)},
            figures,
            needs=(inputs.digits,),
        ),
        Comparison(
            "remote-last",
            "`load_arrays` of the last 100 of 60,000 records, from raw files over HTTP.",
            task("arrays", **remote, split="train[-100:]", streaming=True, served=served),
            {
                "`.skip()` of a stream": task(
                    "skip", **remote, first=inputs.sizes.digits - 100, as_array=True, served=served
                ),
                "downloading the files": download(take=100),
            },
            figures,
            needs=(inputs.digits,),
        ),
    ]


def exports(inputs: Inputs) -> list[Comparison]:
    typed = ["export", inputs.raw.path, "exported", "--num-shards", "4", "--num-proc"]
    return [
        Comparison(
            "export",
            "`mnist-idx export` of a large raw file to four Parquet files, two processes.",
            task("command", arguments=[*typed, "2"]),
            {
                "one process": task("command", arguments=[*typed, "1"]),
                "`load_dataset`, then `to_parquet`": task(
                    "prepare_then_parquet", source=inputs.raw.path
                ),
            },
            needs=(inputs.raw,),
        )
    ]


def epochs(inputs: Inputs) -> list[Comparison]:
    comparisons = []
    for shuffled, order in ((False, "in order"), (True, "shuffled")):
        epoch = {"batch": BATCH, "shuffled": shuffled}
        parquet = partial(peer, "epoch_parquet", **epoch, file=inputs.digits_parquet)
        suffix = "-shuffled" if shuffled else ""
        in_memory = Comparison(
            f"epoch{suffix}",
            f"Load the raw files of MNIST, and hand out all records in batches of 256, {order}.",
            task("epoch_in_memory", **epoch, folder=inputs.digits_raw),
            {
                "idx2numpy, raw files": peer("epoch_idx2numpy", **epoch, folder=inputs.digits_raw),
                "torchvision, raw files": peer(
                    "epoch_torchvision", modules=TORCHVISION, **epoch, root=inputs.digits.path
                ),
                "Parquet, prepared": parquet(streaming=False),
            },
            needs=(inputs.digits,),
        )
        streamed = Comparison(
            f"streamed-epoch{suffix}",
            f"Stream the raw files of MNIST in batches of 256, {order}.",
            task("epoch_streamed", **epoch, folder=inputs.digits_raw),
            {
                "WebDataset": peer(
                    "epoch_webdataset",
                    modules=("webdataset",),
                    **epoch,
                    folder=inputs.webdataset.path,
                ),
                "LitData": peer(
                    "epoch_litdata", modules=("litdata",), **epoch, folder=inputs.litdata.path
                ),
                "Parquet, streamed": parquet(streaming=True),
            },
            needs=(inputs.digits, inputs.webdataset, inputs.litdata),
        )
        comparisons += [in_memory, streamed]
    return comparisons


def programs(inputs: Inputs) -> list[Comparison]:
    prepared = program_file("first_batch_prepared", inputs.cache)
    parquet = program_file("first_batch_parquet", inputs.cache, inputs.train_parquet)
    return [
        Comparison(
            "warm",
            "A whole program that loads what is prepared, to its first batch.",
            replace(prepared, before=prepared),
            {"Parquet": replace(parquet, before=parquet)},
            needs=(inputs.parquet,),
        ),
        Comparison(
            "first-batch",
            "A whole program that loads raw files of MNIST, to its first batch of 256, shuffled.",
            program_file("first_batch_arrays", inputs.digits_raw),
            {
                "idx2numpy, raw files": program_file("first_batch_idx2numpy", inputs.digits_raw),
                "torchvision, raw files": program_file(
                    "first_batch_torchvision", inputs.digits.path, modules=TORCHVISION
                ),
                "WebDataset": program_file(
                    "first_batch_webdataset", inputs.webdataset.path, modules=("webdataset",)
                ),
                "LitData": program_file(
                    "first_batch_litdata", inputs.litdata.path, modules=("litdata",)
                ),
            },
            needs=(inputs.digits, inputs.webdataset, inputs.litdata),
        ),
    ]
