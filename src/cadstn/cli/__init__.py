"""The command line: thin functions over the package, errors in one line.

A command imports what it needs when it runs, so that ``--help`` needs nothing heavy.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from importlib import import_module
from typing import NoReturn

import click

from cadstn._version import __version__
from cadstn.errors import CadstnError, Stopped, end_with_signal, printable

#: The commands, and the module of each; it is imported when the command is used.
COMMANDS = {
    "bank": "training", "bench": "bench", "compare": "scoring",
    "data": "data", "demo": "tracking", "doctor": "cameras", "export": "exporting",
    "info": "tracking", "live": "cameras", "predict": "scoring", "reproduce": "scoring",
    "retarget": "outputs", "score": "scoring", "synth": "data", "track": "tracking",
    "track-many": "many", "train": "training", "weights": "weights",
}  # fmt: skip


#: Commands of 0.1.0 that are gone, what they are now, and the hint.
_GONE = {
    "ablate": (
        "'ablate' is part of 'reproduce' now",
        "cadstn synth data/nyu --layout nyu; cadstn reproduce --data data/nyu --out report",
    ),
}


class _Commands(click.Group):
    """`COMMANDS`, each imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _GONE:
            what, hint = _GONE[cmd_name]
            raise CadstnError(what, hint=hint)
        # Where there is none of the name, click suggests another: it must know all.
        for name in [cmd_name] if cmd_name in COMMANDS else COMMANDS:
            module = import_module(f"cadstn.cli.{COMMANDS[name]}")
            command = getattr(module, name.replace("-", "_"))
            _keep_lines(command)
            self.add_command(command, name)
        return super().get_command(ctx, cmd_name)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__)
def cli() -> None:
    r"""3D hand pose from depth cameras.

    \b
    cadstn demo                                   # track the recording that ships with the package
    cadstn track RECORDING --out DIR              # joints, an overlay video, a summary
    cadstn track FOLDER --camera kinect2 --out DIR
    cadstn info RECORDING
    cadstn live realsense --view                  # a camera, as it comes
    cadstn score PRED.txt TRUTH.txt --set nyu
    """


def _keep_lines(command: click.Command) -> None:
    """Make click's mark for lines that stay apart of the two characters in a raw docstring."""
    command.help = (command.help or "").replace("\\b\n", "\b\n")
    for inner in getattr(command, "commands", {}).values():
        _keep_lines(inner)


_keep_lines(cli)


def main() -> None:
    """Run the command line; errors of the user become one line and exit code 2."""
    # As Ctrl-C: what is written is swept.
    signal.signal(signal.SIGTERM, end_with_signal)
    if "" in sys.argv[1:]:  # which would be taken for the folder that the user is in
        _end("error: an argument is empty; does a variable in its place have no value?")
    try:
        code = cli(standalone_mode=False)
    except Stopped as stopped:
        # As after Ctrl-C elsewhere: what a shell was to do after a whole training must not begin.
        _end(f"\n{stopped}; the same command goes on", 128 + signal.SIGINT)
    except CadstnError as error:
        _end(f"error: {error}")
    except click.ClickException as error:
        text = io.StringIO()
        error.show(text)  # it repeats what was given
        _end("\n".join(map(printable, text.getvalue().splitlines())), error.exit_code)
    except click.Abort:
        _end("Aborted!", 1)
    except (MemoryError, RecursionError) as error:
        _end(f"error: {type(error).__name__}: what was given needs more memory than there is")
    except UnicodeEncodeError as error:  # of libraries that take no such name
        if not any("\udc80" <= c <= "\udcff" for c in str(error.object)):
            raise
        _end(f"error: {printable(str(error.object))}: a name that is not UTF-8; give another name")
    except BrokenPipeError:  # whoever read the output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except OSError as error:  # of libraries that write by themselves, and of what no room names
        where = "" if error.filename is None else f"{error.filename}: "
        missing = isinstance(error, FileNotFoundError)
        hint = "check its name" if missing else "check permissions and the space left"
        _end(f"error: {where}{error.strerror or error}; {hint}")
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _end(line: str, code: int = 2) -> NoReturn:
    click.echo(line, err=True)
    sys.exit(code)
