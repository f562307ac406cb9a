"""Who writes shards: this process, several processes, or the tasks of a Ray cluster.

Nothing but shards, counts and errors goes to and fro. A worker that dies costs its shard, which is
written again.
"""

import contextlib
import multiprocessing
import re
import signal
from collections import Counter, deque
from collections.abc import Generator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from typing import Any, NamedTuple

from ..errors import IdxError, wrong_option
from .parquet_shards import Shard, ShardFacts, ShardWriter, Written
from .progress import Advance

MAX_ATTEMPTS = 4  # for a shard whose workers die
# What Ray takes for the address of a cluster.
RAY_ADDRESS = re.compile(r"auto|local|(?:ray://)?(?:[\w.-]+|\[[\da-fA-F:]+\]):\d+")


class Finished(NamedTuple):
    """A shard that is written."""

    shard: Shard
    facts: ShardFacts


Run = Generator[Finished, None, None]


class Workers(NamedTuple):
    """Who writes."""

    num_proc: int = 1  # processes on this machine
    ray: str | None = None  # address of a Ray cluster, "" for that of the environment

    def check(self) -> None:
        """Refuse wrong values, before anything is read."""
        is_number = isinstance(self.num_proc, int) and not isinstance(self.num_proc, bool)
        if not is_number or self.num_proc < 1:
            raise wrong_option("num_proc", self.num_proc, "an integer, at least 1")
        if self.ray is None:
            return
        if self.num_proc > 1:
            found = "A Ray cluster decides how many processes there are. Leave out"
            raise IdxError(f"{found} num_proc=.", command_line=f"{found} --num-proc.")
        if self.ray and RAY_ADDRESS.fullmatch(self.ray) is None:
            expected = "expected auto, local, HOST:PORT or ray://HOST:PORT"
            raise IdxError(
                f"ray={self.ray!r}: {expected}.",
                command_line=f"--ray {self.ray}: {expected}. Write --ray last, or --ray auto.",
            )
        import_ray()

    def write(self, writer: ShardWriter, shards: Sequence[Shard], advance: Advance) -> Written:
        """Write shards, in any order.

        Args:
            advance: is told of records that were written.

        Raises:
            IdxError: the records cannot be read, or workers die again and again.
        """
        written: Written = {}
        with contextlib.closing(self._run(writer, shards, advance)) as run:
            for finished in run:
                written[finished.shard] = finished.facts
        return written

    def _run(self, writer: ShardWriter, shards: Sequence[Shard], advance: Advance) -> Run:
        if self.ray is not None:
            return run_on_ray(writer, shards, advance, self.ray)
        num_proc = min(self.num_proc, len(shards))
        if num_proc > 1:
            return run_in_processes(writer, shards, advance, num_proc)
        return run_here(writer, shards, advance)


def run_here(writer: ShardWriter, shards: Sequence[Shard], advance: Advance) -> Run:
    """Write shards one after the other."""
    for shard in shards:
        yield Finished(shard, writer.write(shard, advance))


# Processes


class _Process:
    """A process that writes one shard after the other. It ends when this one does."""

    def __init__(self, context: SpawnContext, writer: ShardWriter) -> None:
        self.connection, other_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(other_end, writer), daemon=True)
        self.process.start()
        other_end.close()
        self.shard: Shard | None = None  # None while it has nothing to do
        self.num_rows = 0  # of the shard, that are written so far

    def begin(self, shard: Shard) -> None:
        self.shard = shard
        self.num_rows = 0
        # Suppressed: it has died, which is noticed where its answer is expected.
        with contextlib.suppress(OSError):
            self.connection.send(shard)

    def receive(self) -> object:
        """What it says: a number of rows, facts of its shard, or an error.

        Raises:
            EOFError: it has died.
        """
        try:
            return self.connection.recv()
        except OSError as error:
            raise EOFError from error

    def end(self) -> int | None:
        """End it, whatever it does. Returns its exit code."""
        self.process.terminate()
        self.process.join()
        self.connection.close()
        return self.process.exitcode


def _serve(connection: Connection, writer: ShardWriter) -> None:
    """Write the shards that come through a connection, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The process that started this one ends it.
    with contextlib.suppress(EOFError, OSError):  # That process is gone.
        while True:
            shard = connection.recv()
            connection.send(_write_or_fail(connection, writer, shard))


def _write_or_fail(
    connection: Connection, writer: ShardWriter, shard: Shard
) -> ShardFacts | Exception:
    def advance(count: int) -> None:
        # Suppressed: nobody listens any more, but what was begun is finished for the next run.
        with contextlib.suppress(OSError):
            connection.send(count)

    try:
        return writer.write(shard, advance)
    except Exception as error:
        return error


def run_in_processes(
    writer: ShardWriter, shards: Sequence[Shard], advance: Advance, num_proc: int
) -> Run:
    """Write shards in processes, which are started anew: nothing of this one is copied."""
    return _Processes(writer, shards, advance).run(num_proc)


class _Processes:
    """Processes, and the shards that they write and that wait for them."""

    def __init__(self, writer: ShardWriter, shards: Sequence[Shard], advance: Advance) -> None:
        self._writer = writer
        self._waiting = deque(shards)
        self._advance = advance
        self._attempts: Counter[Shard] = Counter()
        self._context = multiprocessing.get_context("spawn")
        self._busy: dict[Connection, _Process] = {}

    def run(self, num_proc: int) -> Run:
        try:
            while self._waiting or self._busy:
                while self._waiting and len(self._busy) < num_proc:
                    self._begin(_Process(self._context, self._writer))
                for process in self._with_messages():
                    finished = self._listen(process)
                    if finished is not None:
                        yield finished
        finally:
            for process in self._busy.values():
                process.end()

    def _with_messages(self) -> list[_Process]:
        """Wait until there are some."""
        ready = wait(list(self._busy))
        return [process for process in self._busy.values() if process.connection in ready]

    def _begin(self, process: _Process) -> None:
        """Give a process the next shard, or end it."""
        if self._waiting:
            self._busy[process.connection] = process
            process.begin(self._waiting.popleft())
        else:
            self._busy.pop(process.connection, None)
            process.end()

    def _listen(self, process: _Process) -> Finished | None:
        """Take one message of a process. Returns its shard if that is finished."""
        shard = process.shard
        assert shard is not None, "each process has a shard as long as it is busy"
        try:
            message = process.receive()
        except EOFError:
            self._give_up(process, shard)
            return None
        if isinstance(message, Exception):
            raise message
        if isinstance(message, ShardFacts):
            self._begin(process)
            return Finished(shard, message)
        assert isinstance(message, int)
        process.num_rows += message
        self._advance(message)
        return None

    def _give_up(self, process: _Process, shard: Shard) -> None:
        """Let another process write the shard of one that has died."""
        self._advance(-process.num_rows)
        del self._busy[process.connection]
        exit_code = process.end()
        self._attempts[shard] += 1
        if self._attempts[shard] == MAX_ATTEMPTS:
            found = f"{shard.path}: {MAX_ATTEMPTS} processes have died, exit code {exit_code}"
            way_out = "There may be too little memory. Set"
            raise IdxError(
                f"{found}. {way_out} num_proc= to fewer.",
                command_line=f"{found}. {way_out} --num-proc to fewer.",
            )
        self._waiting.appendleft(shard)


# Ray


def import_ray() -> Any:
    """The package, which has no types.

    Raises:
        IdxError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        found = f"Ray cannot be imported: {error}"
        raise IdxError(f'{found}. Install it: pip install "mnist-idx[ray]".') from error
    return ray


def run_on_ray(writer: ShardWriter, shards: Sequence[Shard], advance: Advance, address: str) -> Run:
    """Write each shard in a task of a Ray cluster.

    All machines must see the folder, and the files by the same paths, or URLs.

    Args:
        address: of the cluster; "" for that of the environment, or one on this machine.
    """
    ray = import_ray()
    is_ours = not ray.is_initialized()
    if is_ours:
        ray.init(address or None)
    task = ray.remote(max_retries=MAX_ATTEMPTS - 1)(_write_in_task)
    shared = ray.put(writer)
    waiting = {task.remote(shared, shard): shard for shard in shards}
    try:
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1)
            for reference in ready:
                shard = waiting.pop(reference)
                facts = _result_of_task(ray, reference, shard)
                advance(facts.num_rows)
                yield Finished(shard, facts)
    finally:
        with contextlib.suppress(ray.exceptions.RayError):  # The cluster may be gone.
            for reference in waiting:
                ray.cancel(reference, force=True)
        if is_ours:
            ray.shutdown()


def _write_in_task(writer: ShardWriter, shard: Shard) -> ShardFacts:
    return writer.write(shard, _ignore)


def _ignore(count: int) -> None:
    """Nobody is told how far a task is."""


def _result_of_task(ray: Any, reference: Any, shard: Shard) -> ShardFacts:
    try:
        facts: ShardFacts = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, IdxError | OSError):
            failure: Exception = error.cause
        else:
            raise
    except ray.exceptions.RayError as error:
        found = f"{shard.path}: {MAX_ATTEMPTS} attempts have failed"
        failure = IdxError(f"{found}: {error}")
    else:
        return facts
    # Outside of the `except` block: the context has all of Ray's own frames.
    raise failure
