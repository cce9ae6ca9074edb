"""Commands on weights: list, show, verify."""

from __future__ import annotations

from pathlib import Path

import click

from cadstn.cli.shared import echo


@click.group()
def weights() -> None:
    """List, show and verify weights by name and version; nothing is fetched."""


@weights.command("list")
def list_() -> None:
    """List the weights of the package, and of the folder in CADSTN_WEIGHTS."""
    from tabulate import tabulate

    from cadstn.tracking.weights import known_weights

    rows = [(one.key, one.licence, one.sha256[:12], one.path) for one in known_weights()]
    echo(tabulate(rows, headers=("weights", "licence", "SHA-256", "file"), tablefmt="plain"))


@weights.command()
@click.argument("name")
def show(name: str) -> None:
    """Show where weights come from, what they are for, and what is in their file.

    NAME is hand21, or hand21@VERSION as 'cadstn weights list' has it.
    """
    from cadstn.tracking.runtime import load_network
    from cadstn.tracking.weights import find_weights

    found = find_weights(name)
    found.check()
    network = load_network(found.path, provider="cpu", threads=1)
    lines = {
        "weights": found.key, "file": found.path, "bytes": found.path.stat().st_size,
        "SHA-256": found.sha256, "licence": found.licence, "trained on": found.trained_on,
        "use": found.use, "card": found.card, "skeleton": network.skeleton.name,
        "crop": f"{network.wants.size} pixels of {network.wants.cube_mm:g} mm",
        "precision": network.precision, "detector": "its own" if network.own_detector else "none",
    }  # fmt: skip
    for label, value in lines.items():
        echo(f"{label:>10}  {value}")


@weights.command()
@click.argument("file", type=click.Path(path_type=Path))
def verify(file: Path) -> None:
    """Compare a FILE with the hashes that are known; exits with 2 if it is not whole."""
    from cadstn.tracking.weights import verify_file

    echo(f"{file}: {verify_file(file)}")
