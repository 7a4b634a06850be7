"""Write the pages that are made from the program: `python docs/generate.py`.

- `command-line.md`, from the help of every command;
- `model-table.md`, from the weights files and the records of their evaluations;
- `scale-table.md`, from `scale.toml` and `benchmarks/results/scale.json`;
- `torture-table.md` and `kills-table.md`, from `benchmarks/results/torture.json` and `kills.json`;
- `robustness-table.md` and `attacks-table.md`, from the studies of these names in `records/studies`.

`tests/test_docs.py` makes them again and compares.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import typer

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
WIDTH = 100

COMMAND_LINE = """\
# Command line

Every command prints its result on stdout and everything else on stderr. `--json` prints one JSON object instead, for
scripts. The suffix of an output file is that of its kind, or it is refused; folders that an output needs are created.
Weights go by name (`default`, `dlib`, `mobilefacenet`, `face-resnet`, `scratch`; see [Models](models.md)) or
by the path of a weights file.

This page is the output of `--help`, written by `python docs/generate.py`.
"""

# Of fewer decided pairs the table tells how many there were.
FEW_PAIRS = 10_000

ENVIRONMENT = """\
## Environment

`FACEVER_DEBUG=1`
: prints a traceback for exit code 70, a fault of facever's own, and the warnings and logs of libraries.

`FACEVER_QUIET=1`
: leaves out the note on the license of weights.

`FACEVER_CACHE_GB`
: is what crops, and as much that embeddings, may take in the caches, in gigabytes; 20 by default.

`XDG_CACHE_HOME`
: holds the caches, in its folder `facever`: embeddings of evaluations, crops of trainings. `~/.cache` by default.
"""


def command_line() -> str:
    """The page of all commands."""
    from facever.cli import COMMANDS, app

    group: Any = typer.main.get_command(app)
    summaries = {name: command.help.strip().partition("\n")[0] for name, command in group.commands.items()}
    rows = [f"| [`{name}`](#{name}) | {summaries[name]} |" for commands in COMMANDS.values() for name in commands]
    sections = [COMMAND_LINE, "\n".join(["| command | |", "| --- | --- |", *rows, ""])]
    whole = help_text("facever", group)
    listed = re.compile(r"^Commands:\n(?:  .*\n)+\n", re.MULTILINE)  # the table says it in full
    sections.append(_section("facever", listed.sub("", whole)))
    for panel, commands in COMMANDS.items():
        sections.append(f"## {panel}\n")
        sections += [_section(name, help_text(f"facever {name}", group.commands[name])) for name in commands]
    return "\n".join([*sections, ENVIRONMENT])


def _section(title: str, text: str) -> str:
    level = "##" if title == "facever" else "###"
    return f"{level} {title}\n\n```text\n{text}\n```\n"


def help_text(called: str, command: Any) -> str:
    """The help of a command as plain text: no boxes, no colors, one width, whatever the terminal is."""
    was, command.rich_markup_mode = command.rich_markup_mode, None
    try:
        context = command.context_class(
            command,
            info_name=called,
            terminal_width=WIDTH,
            max_content_width=WIDTH,
            help_option_names=["-h", "--help"],
        )
        text: str = command.get_help(context)
    finally:
        command.rich_markup_mode = was
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def model_table() -> str:
    """The table of shipped weights."""
    from facever.weights.file import load_weights
    from facever.weights.shipped import find_weights, shipped_weights

    by_accuracy = sorted(shipped_weights(), key=lambda name: -_record(name, "lfw")["accuracy"])
    rows = [
        "| weights | network | d | parameters | file | LFW, 10 folds | LFW, all pairs: TAR at FAR 1e-3, 1e-4, 1e-5 "
        "| license |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in sorted(by_accuracy, key=lambda name: name != "default"):
        info, network = load_weights(name)
        lfw, every = _record(name, "lfw"), _record(name, "all-pairs")
        rows.append(
            "| "
            + " | ".join(
                [
                    f"`{name}`",
                    f"`{info.network}`",
                    f"{network.embedding_size}",
                    f"{sum(p.numel() for p in network.parameters()) / 1e6:.1f} M",
                    f"{find_weights(name).stat().st_size / 1e6:.0f} MB",
                    f"{100 * lfw['accuracy']:.2f} ± {100 * lfw['accuracy_standard_error']:.2f} %",
                    ", ".join(f"{every['tar_at_far'][far]:.3f}" for far in ("0.001", "0.0001", "1e-05")),
                    info.license.partition(",")[0],
                ]
            )
            + " |"
        )
    return "\n".join(rows) + "\n"


def _record(weights: str, name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((ROOT / "records" / weights / f"{name}.json").read_text(encoding="utf-8"))
    return record


def scale_table() -> str:
    """What a run over very many photographs takes."""
    from facever.engines.cluster import OTHER_CORES, PHOTOGRAPHS_A_BLOCK
    from facever.engines.ray import PHOTOGRAPHS_A_MANIFEST

    given = tomllib.loads((DOCS / "scale.toml").read_text(encoding="utf-8"))
    measured = json.loads((ROOT / "benchmarks" / "results" / "scale.json").read_text(encoding="utf-8"))
    count, rate, cores = given["photographs"], given["photographs_per_second_and_core"], given["cores_per_machine"]
    size = given["photograph_kilobytes"] * 1e3
    working = given["machines"] * cores - OTHER_CORES
    hours = count / rate / working / 3600
    paid = given["machines"] * cores * hours
    requests = 2 * rate * working
    keeps_up = measured["into_parts_per_processor_second"]
    cost, interruptible = (paid * given[f"dollars_per_core_hour{kind}"] for kind in ("", "_interruptible"))
    asked = f"{2 * count / 1e9:.0f} × 10⁹, {2 * count / 1e6 * given['dollars_per_million_requests']:,.0f} USD"
    rows = [
        ("work", "photographs / rate", f"{count / rate / 3600:,.0f} core hours"),
        ("time", f"{working:,} cores embed", f"{hours:.1f} hours"),
        ("cores", f"{paid:,.0f} hours are paid", f"{cost:,.0f} USD, interruptible {interruptible:,.0f} USD"),
        ("requests to an object store", "size and content of each", asked),
        ("requests a second", "", f"{requests:,.0f}"),
        ("prefixes", "serve so many", f"{math.ceil(requests / given['requests_per_second_and_prefix'])}"),
        ("download", "", f"{count * size / 1e12:,.0f} TB"),
        ("network", "in use at a time", f"{rate * working * size * 8 / 1e9:.0f} Gbit/s"),
        ("network of a machine", "in use at a time", f"{rate * cores * size * 8 / 1e9:.1f} Gbit/s"),
        ("lists and datasets", f"of {PHOTOGRAPHS_A_MANIFEST:,}", f"{math.ceil(count / PHOTOGRAPHS_A_MANIFEST)}"),
        ("memory of the checkpoint", "8 bytes an id", f"{8 * PHOTOGRAPHS_A_MANIFEST / 1e6:.0f} MB a list"),
        ("memory of the driver", "", f"{measured['memory_bytes'] * PHOTOGRAPHS_A_MANIFEST / 1e9:.1f} GB a dataset"),
        ("files of rows", f"of {PHOTOGRAPHS_A_BLOCK:,} photographs", f"{count / PHOTOGRAPHS_A_BLOCK:,.0f}"),
        ("from rows into parts", f"{keeps_up:,} a second", f"{count / keeps_up / 3600:.1f} hours of one core"),
        ("cores", "that one driver keeps up with", f"{keeps_up / rate:,.0f}"),
        ("datasets", "", f"{count * given['faces_per_photograph'] * measured['row_bytes'] / 1e12:.1f} TB"),
    ]
    inputs = [f"| `{name}` | {value:,} |" for name, value in given.items()]
    table = ["| calculated | | |", "| --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(["| given | |", "| --- | --- |", *inputs, "", *table, ""])


def torture_table() -> str:
    """How reading damaged files ended."""
    result = json.loads((ROOT / "benchmarks" / "results" / "torture.json").read_text(encoding="utf-8"))
    columns = ("tried", "read", "refused", "lost")
    rows = []
    for name, row in result["total"].items():
        counts = " | ".join(f"{row[key]:,}" for key in columns)
        rows.append(f"| {name} | {counts} | {row['slowest']:.2f} s | {row['largest']:.0f} MB |")
    head = f"| damaged | {' | '.join(columns)} | slowest | most memory |"
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- | --- |", *rows, ""])


def kills_table() -> str:
    """What SIGKILL did to commands."""
    result = json.loads((ROOT / "benchmarks" / "results" / "kills.json").read_text(encoding="utf-8"))
    columns = ("kills", "ends", "lost", "left")
    rows = [
        f"| `{name}` | {' | '.join(f'{row[key]:,}' for key in columns)} |" for name, row in result["commands"].items()
    ]
    head = "| command | killed | runs that ended | with another result | with files left behind |"
    return "\n".join([head, "| --- | --- | --- | --- | --- |", *rows, ""])


def robustness_table() -> str:
    """What degraded photographs do to answers; the promise is broken, in bold, where an interval lies above it."""
    result = _study("robustness")
    promised = 1000 * result["promised_far"]

    def two_digits(value: float) -> str:
        return f"{value:.2g}" if value < 99.5 else f"{value:.0f}"

    def of_decided(strangers: dict[str, Any]) -> str:
        rate = strangers["same_of_decided"]
        if rate["value"] is None:
            return "none decided"
        text = two_digits(1000 * rate["value"])
        if rate["ci95"] is not None:
            low, high = (1000 * end for end in rate["ci95"])
            text += f" ({two_digits(low)} to {two_digits(high)})"
            text = f"**{text}**" if low > promised else text
        undecided = sum(strangers[kind]["value"] for kind in ("undecided", "no_face"))
        decided = round(strangers["pairs"] * (1 - undecided))
        return text if decided >= FEW_PAIRS else f"{text}; of {decided} pairs"

    def percent(*rates: dict[str, Any]) -> str:
        return f"{100 * sum(rate['value'] for rate in rates):.1f}"

    rows = [
        "| degraded | no face found, % | accuracy, % | FAR, of 1,000 | FRR, % "
        "| one person: same, different, no answer, % | strangers: no answer, % "
        "| FAR of decided, of 1,000 | the same, one degraded |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, record in result["conditions"].items():
        genuine, strangers, accuracy = (record["both"][key] for key in ("genuine", "strangers", "accuracy"))
        seen = record["photographs"] + record["without_face"]
        cells = [
            name,
            f"{100 * record['without_face'] / seen:.1f}",
            "–" if accuracy is None else percent(accuracy),
            "–" if strangers["accepted"]["value"] is None else two_digits(1000 * strangers["accepted"]["value"]),
            "–" if genuine["accepted"]["value"] is None else f"{100 * (1 - genuine['accepted']['value']):.1f}",
            f"{percent(genuine['same'])}, {percent(genuine['different'])}, "
            f"{percent(genuine['undecided'], genuine['no_face'])}",
            percent(strangers["undecided"], strangers["no_face"]),
            of_decided(strangers),
            of_decided(record["one"]["strangers"]),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([*rows, ""])


def attacks_table() -> str:
    """The share of attacks that pass."""
    result = _study("attacks")
    own = result["settings"]["weights"]

    def percent(rate: dict[str, Any]) -> str:
        low, high = (100 * end for end in rate["ci95"])
        return f"{100 * rate['value']:.0f} ({low:.0f} to {high:.0f})"

    names = [own, *(name for name in result["patterns"]["0"] if name != own)]
    rows = [
        f"| adversarial pattern | `{own}`, attacked | {' | '.join(f'`{name}`' for name in names[1:])} |",
        f"| --- |{' --- |' * len(names)}",
    ]
    for bound, by in result["patterns"].items():
        what = "none" if bound == "0" else f"up to {bound} gray level{'s' if int(bound) > 1 else ''} of 255"
        rows.append(f"| {what} | {' | '.join(percent(by[name]['another one of the target']) for name in names)} |")
    rows += ["", "| morph with | passes for the one | for the other | for both |", "| --- | --- | --- | --- |"]
    for name, of in result["morphs"].items():
        cells = (percent(of[part]) if part in of else "–" for part in ("the one", "the other", "both"))
        rows.append(f"| {'nobody' if name == 'no morph' else name} | {' | '.join(cells)} |")
    return "\n".join([*rows, ""])


def _study(name: str) -> dict[str, Any]:
    path = ROOT / "records" / "studies" / name / "results.json"
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


PAGES = {
    "command-line.md": command_line,
    "model-table.md": model_table,
    "scale-table.md": scale_table,
    "torture-table.md": torture_table,
    "kills-table.md": kills_table,
    "robustness-table.md": robustness_table,
    "attacks-table.md": attacks_table,
}


def main() -> None:
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
        print(DOCS / name)


if __name__ == "__main__":
    main()
