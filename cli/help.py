"""Help on a verb and its settings."""

from __future__ import annotations

from importlib import resources

COMMON_HELP = """\
Options:
  --help            this text
  --print-config    print the settings that the command line leads to, and stop
  --debug           show tracebacks"""


def show_help(verb: str, description: str) -> None:
    """Print a verb's description, its settings as they stand in its YAML, and the options of each group."""
    print(description.strip(), COMMON_HELP, sep="\n\n")
    settings = resources.files("playloop.configs") / f"{verb}.yaml"
    if not settings.is_file():
        return
    from playloop.cli.config import group_options

    print(f"\nSettings and their defaults (configs/{verb}.yaml):\n")
    print("\n".join(f"  {line}".rstrip() for line in settings.read_text().splitlines()))
    options = group_options(verb)
    if options:
        print("\nGroups, chosen as group=name, their settings as group.key=value or just key=value:\n")
        print("\n".join(f"  {group}: {', '.join(names)}" for group, names in options.items()))
