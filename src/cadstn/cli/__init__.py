"""The command line: thin functions over the package, errors in one line.

A command imports what it needs when it runs, so that ``--help`` needs nothing heavy.
"""

from __future__ import annotations

import sys

import click

from cadstn._version import __version__
from cadstn.cli.data import synth
from cadstn.cli.scoring import score
from cadstn.cli.tracking import demo, info, track
from cadstn.cli.training import export, train
from cadstn.errors import CadstnError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    r"""3D hand pose from depth cameras.

    \b
    cadstn demo                                   # track the recording that ships with the package
    cadstn track RECORDING --out DIR              # joints, an overlay video, a summary
    cadstn track FOLDER --camera kinect2 --out DIR
    cadstn info RECORDING
    cadstn score PRED.txt TRUTH.txt --set nyu
    """


for command in (track, demo, info, score, synth, train, export):
    cli.add_command(command)


def main() -> None:
    """Run the command line; a CadstnError becomes one line and exit code 2."""
    try:
        cli(standalone_mode=True)
    except CadstnError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
