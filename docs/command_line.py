"""Write the reference of the command line from its own help.

python docs/command_line.py > docs/reference/command-line.md
"""

import click

from cadstn.cli import cli


def page(group: click.Group, name: str) -> list[str]:
    """Return one section for each command below a group, in alphabetical order."""
    lines: list[str] = []
    for word in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), word)
        assert command is not None
        path = f"{name} {word}"
        if isinstance(command, click.Group):
            lines += page(command, path)
            continue
        context = click.Context(command, info_name=path, terminal_width=100, max_content_width=100)
        lines += [f"## {path}", "", "```text", command.get_help(context), "```", ""]
    return lines


if __name__ == "__main__":
    print("\n".join(["# Command line", "", *page(cli, "cadstn")]))
