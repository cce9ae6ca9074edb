"""Show the examples of docstrings as code: an extension of griffe, which reads the docstrings."""

import re
from typing import Any

import griffe

#: From the first prompt to the end of its paragraph, with the output that belongs to it.
_EXAMPLE = re.compile(r"^>>> .*?(?=\n\s*\n|\Z)", flags=re.DOTALL | re.MULTILINE)


class Doctests(griffe.Extension):
    """Put a fence around examples that stand in no ``Examples:`` section."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change one object's docstring, when all of it is known."""
        if obj.docstring is not None:
            fenced = _EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", obj.docstring.value)
            obj.docstring.value = fenced
