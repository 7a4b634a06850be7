"""Worker processes that take tasks and give results, and lose no more than the item that kills one of them.

Nothing heavy is imported here, so that a command can start them before it imports what it needs itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from facever.errors import FaceverError

Item = TypeVar("Item")
Result = TypeVar("Result")

# Worker processes take seconds to start; below so many photographs one process finishes sooner.
FEW = 200
# What a worker imports before it is forked; all share its memory.
PRELOADED = ("facever.faces.parallel",)
# So many deaths in a row are no fault of the items.
DEATHS = 16
# Tasks that are begun or done before the first result that is not taken yet: for each worker.
AHEAD = 3


def _context() -> Any:
    """Workers that begin with their modules imported, where the system can: macOS's libraries don't bear a fork."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def warm_up() -> None:
    """Begin to import what workers need, in the background."""
    if sys.platform == "linux":
        from multiprocessing.forkserver import ensure_running

        _context()
        with starting():
            ensure_running()


@contextmanager
def starting() -> Iterator[None]:
    """Have a process that starts meanwhile find modules where this one does, and run nothing but what it is told to.

    Else it would look in the working directory, and run the program once more that has started it, if that has no
    `if __name__ == "__main__"`.
    """
    paths = [path or str(Path.cwd()) for path in sys.path]
    changed = {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(paths)}
    before = {name: os.environ.get(name) for name in changed}
    program = sys.modules["__main__"]
    os.environ.update(changed)
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@dataclass(slots=True)
class _Task(Generic[Item, Result]):
    """Items that are done together, at first, and their results as they come."""

    items: list[Item]
    results: dict[int, Result] = field(default_factory=dict)


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    doing: tuple[_Task[Any, Any], list[int]] | None = None


class Workers(Generic[Item, Result]):
    """A pool of processes.

    Parameters
    ----------
    count : int
    start : callable
        Called in each process with `arguments`; gives the function from items to results.
    arguments : tuple
        Picklable.
    lost : callable
        From an item that ends its worker, when that does nothing else, to its result.
    """

    def __init__(
        self,
        count: int,
        start: Callable[..., Callable[[list[Item]], list[Result]]],
        arguments: tuple[Any, ...],
        lost: Callable[[Item], Result],
    ) -> None:
        self._count, self._start, self._arguments, self._lost = count, start, arguments, lost
        self._context = _context()
        self._workers: list[_Worker] = []
        self._deaths = 0  # since the last result

    def __call__(self, tasks: Iterable[list[Item]]) -> Iterator[Result]:
        """Results in the order of the items. What a worker raises is raised here; all workers end with the iterator.

        Raises
        ------
        FaceverError
            If workers die one after another.
        """
        coming = iter(tasks)
        unfinished: deque[_Task[Item, Result]] = deque()
        waiting: deque[tuple[_Task[Item, Result], list[int]]] = deque()
        try:
            while True:
                while len(unfinished) < AHEAD * self._count and (items := next(coming, None)) is not None:
                    task: _Task[Item, Result] = _Task(items)
                    unfinished.append(task)
                    waiting.append((task, list(range(len(items)))))
                if not unfinished:
                    return
                self._hand_out(waiting)
                self._gather(waiting)
                while unfinished and len(unfinished[0].results) == len(unfinished[0].items):
                    done = unfinished.popleft()
                    for i in range(len(done.items)):
                        yield done.results[i]
        finally:
            self._end()

    def _hand_out(self, waiting: deque[tuple[_Task[Item, Result], list[int]]]) -> None:
        idle = [worker for worker in self._workers if worker.doing is None]
        while waiting and (idle or len(self._workers) < self._count):
            worker = idle.pop() if idle else self._new()
            worker.doing = waiting.popleft()
            task, chosen = worker.doing
            with contextlib.suppress(OSError):  # it has just died, as `_gather` will see
                worker.connection.send([task.items[i] for i in chosen])

    def _gather(self, waiting: deque[tuple[_Task[Item, Result], list[int]]]) -> None:
        """Take what at least one worker has done, and see which have died."""
        busy = {worker.connection: worker for worker in self._workers if worker.doing is not None}
        for connection in wait(list(busy)):
            worker = busy[connection]  # type: ignore[index]
            assert worker.doing is not None
            task, chosen = worker.doing
            try:
                results = worker.connection.recv()
            except (EOFError, OSError):
                self._discard(worker)
                self._deaths += 1
                if self._deaths == DEATHS:
                    cause = "one worker process after another was ended, perhaps for want of memory"
                    raise FaceverError(f"{cause}; use fewer --workers") from None
                if len(chosen) > 1:  # each alone: what killed this worker takes nothing else with it then
                    waiting.extendleft((task, part) for part in reversed([[i] for i in chosen]))
                else:
                    task.results[chosen[0]] = self._lost(task.items[chosen[0]])
                continue
            if isinstance(results, BaseException):
                raise results
            task.results.update(zip(chosen, results, strict=True))
            worker.doing = None
            self._deaths = 0

    def _new(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._start, self._arguments), daemon=True)
        warm_up()
        with starting():
            process.start()
        theirs.close()  # so that the end of the process closes the pipe
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _discard(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.connection.close()
        worker.process.kill()
        worker.process.join()

    def _end(self) -> None:
        for worker in list(self._workers):
            worker.process.kill()
        for worker in list(self._workers):
            self._discard(worker)


def _work(
    connection: Connection,
    start: Callable[..., Callable[[list[Any]], Sequence[Any]]],
    arguments: tuple[Any, ...],
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt of the whole group: the parent ends its workers
    end_with_parent()
    try:
        function = start(*arguments)
        while True:
            connection.send(list(function(connection.recv())))
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        connection.send(error)


def end_with_parent() -> None:
    """End this process when the one that started it has ended: one that was killed can't tell its workers."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
