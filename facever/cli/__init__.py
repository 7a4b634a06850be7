"""The command line: one file a command, which parses, calls and prints.

Heavy imports happen inside the commands, so that `facever --help` answers at once.
"""

from __future__ import annotations

import io
import os
import sys

import typer

from facever import __version__
from facever.cli import calibrate, convert_dlib, embed, eval_lfw, info, train, verify
from facever.errors import FaceverError

EXIT_CODES = """Exit codes: 0 done (verify: same person), 1 verify: different people, 2 usage or bad input, \
3 no face found, 130 interrupted."""

app = typer.Typer(
    name="facever",
    help="Face verification: are these two photographs of the same person?",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("verify", epilog=verify.EXAMPLE)(verify.verify)
app.command("embed", epilog=embed.EXAMPLE)(embed.embed)
app.command("eval-lfw", epilog=eval_lfw.EXAMPLE)(eval_lfw.eval_lfw)
app.command("train", epilog=train.EXAMPLE)(train.train)
app.command("calibrate", epilog=calibrate.EXAMPLE)(calibrate.calibrate)
app.command("info", epilog=info.EXAMPLE)(info.info)
app.command("convert-dlib", epilog=convert_dlib.EXAMPLE)(convert_dlib.convert_dlib)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"facever {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Face verification: are these two photographs of the same person?"""


def main() -> None:
    """Run the command line; what a user can cause ends in a line on stderr and an exit code, never in a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may hold bytes that are no text
    try:
        app()
    except FaceverError as error:
        print(f"facever: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        print("facever: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader of a pipe (head, less) has had enough; Python would complain once more on closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
