"""A writer of shards whose process dies."""

import os
import signal

from mnist_idx.tools.exported import Advance
from mnist_idx.tools.parquet_shards import Shard, ShardFacts, ShardWriter


class DyingWriter(ShardWriter):
    """Dies in the middle of a shard, each time or the first time."""

    def __init__(self, *args: object, is_always: bool) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.is_always = is_always

    def write(self, shard: Shard, advance: Advance) -> ShardFacts:
        if shard.path.startswith("data/train-00001-"):
            mark = self._folder / "has_died"
            if self.is_always or not mark.exists():
                advance(7)
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().write(shard, advance)
