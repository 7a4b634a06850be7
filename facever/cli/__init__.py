"""The command line, one file per command: parse, call, print.

Heavy imports happen inside the commands, so that `facever --help` answers at once.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

from facever import __version__
from facever.cli import (
    bench,
    cache,
    calibrate,
    card,
    cluster,
    embed,
    eval_all,
    eval_clusters,
    eval_lfw,
    eval_pairs,
    eval_search,
    export,
    import_weights,
    info,
    inspect,
    search,
    study,
    train,
    verify,
)
from facever.cli.common import say
from facever.errors import FaceverError, SettingError, reason_of
from facever.faces.memory import keep_freed_memory

EXIT_CODES = """Exit codes: 0 success (verify: same person), 1 different people (verify), 2 usage error or bad input, \
3 no face found, 4 undecided (verify), 70 a fault of facever's own, 130 interrupted, \
141 broken pipe, 143 terminated."""


# What libraries say that raise no MemoryError: torch, the linker, Python's threads.
_NO_MEMORY = re.compile(r"(can.t|cannot) allocate|out of memory|bad_alloc|failed to map segment|start new thread", re.I)


class _Terminated(SystemExit):
    """SIGTERM: an exit like others, so that temporary files go, workers end, and what is done is kept."""


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends at once
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            # Raised while an extension is made ready, an exception may abort the process. Nothing is lost: what a
            # command writes survives any end.
            os.write(2, b"facever: terminated\n")
            os._exit(143)
        frame = frame.f_back
    raise _Terminated(143)


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """End whatever a user can cause with a line on stderr and an exit code, never a traceback."""
    try:
        yield
    except SettingError as error:
        option = f"--{error.setting.replace('_', '-')} " if error.setting else ""
        _leave(error.exit_code, option + error.message)
    except FaceverError as error:
        _leave(error.exit_code, str(error), getattr(error, "__notes__", []))
    except KeyboardInterrupt:
        _leave(130, "interrupted")
    except _Terminated:
        _leave(143, "terminated")
    except BrokenPipeError:
        # The reader of a pipe (head, less) left. Not 0 or 1, which are answers of verify.
        _mute_stdout()
        raise SystemExit(141) from None
    except OSError as error:
        _mute_stdout()
        subject = f"{error.filename}: " if error.filename else ""
        _leave(2, f"{subject}{error.strerror or error}; check its name, permissions and the disk space")
    except (MemoryError, RuntimeError, ImportError) as error:
        if not (isinstance(error, MemoryError) or _NO_MEMORY.search(str(error))):
            raise
        _leave(2, "not enough memory; use fewer --workers or smaller photographs")


def _leave(code: int, message: str, more: Sequence[str] = ()) -> None:
    say(f"facever: {message}")
    for line in more:
        say(line)
    raise SystemExit(code) from None


def _mute_stdout() -> None:
    """Drop what stdout still holds: Python would try again on closing it, and complain once more."""
    with contextlib.suppress(OSError, ValueError):  # a stdout without a file descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep warnings and logs of libraries, torch's of other processes among them, from the terminal."""
    if os.environ.get("FACEVER_DEBUG"):
        yield
        return
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # read when torch is imported
    logging.getLogger("torch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        # Here, not around app(): typer would turn an interrupt or a closed pipe into its own exit codes.
        with _plain_errors():
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()  # while an error can still be reported


app = typer.Typer(
    name="facever",
    cls=_Commands,
    help="Face verification: are these two photographs of the same person?",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = {
    "Faces": {"verify": verify, "embed": embed, "search": search, "cluster": cluster, "inspect": inspect},
    "Evaluate": {
        "eval-lfw": eval_lfw,
        "eval-pairs": eval_pairs,
        "eval-all": eval_all,
        "eval-search": eval_search,
        "eval-clusters": eval_clusters,
        "calibrate": calibrate,
    },
    "Train": {"train": train, "study": study},
    "Weights": {"info": info, "card": card, "import": import_weights, "export": export},
    "House": {"bench": bench, "cache": cache},
}
for _panel, _commands in COMMANDS.items():
    for _name, _module in _commands.items():
        _function = getattr(_module, _module.__name__.rpartition(".")[2])
        # A terminal wraps paragraphs to its own width, not to the docstring's.
        _help = "\n\n".join(" ".join(part.split()) for part in (_function.__doc__ or "").split("\n\n"))
        app.command(_name, help=_help, epilog=_module.EXAMPLE, rich_help_panel=_panel)(_function)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"facever {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Face verification: are these two photographs of the same person?

    Folders that an output needs are created.
    """


def main() -> None:
    """Run the command line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may hold bytes that are not text
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, _terminate)
    keep_freed_memory()
    try:
        with _quiet_libraries(), _plain_errors():  # here too, for help that can't be printed
            app()
    except Exception as error:
        # Python would exit with 1, which is an answer of verify.
        _mute_stdout()
        if os.environ.get("FACEVER_DEBUG"):
            traceback.print_exc()
        told = f"{type(error).__name__}: {reason_of(error)}"
        _leave(70, f"a fault of its own: {told}; please report it with what FACEVER_DEBUG=1 prints")
    finally:
        with contextlib.suppress(ValueError):  # all is done: no exception while Python waits for its threads
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
