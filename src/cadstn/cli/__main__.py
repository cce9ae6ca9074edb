"""``python -m cadstn.cli``."""

from cadstn.cli import main

main()
