"""What was downloaded is not downloaded again, unless that is asked for."""

from collections.abc import Callable
from pathlib import Path

from http_server import Server

from mnist_idx import MnistIdx

CONTENT = b"published"


def test_a_file_is_downloaded_once(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve({"/one": CONTENT})
    urls = {"": server.url("/one")}
    builder = MnistIdx(config_name="tiny", cache_dir=str(tmp_path))
    fetcher = builder.make_fetcher(streaming=False)
    for _ in range(3):
        assert Path(fetcher.fetch(urls)[""]).read_bytes() == CONTENT
    assert server.sent("/one") == len(CONTENT)
    fetcher.fetch(urls, force=True)
    assert server.sent("/one") == 2 * len(CONTENT)
