"""playloop completion: print the script with which a shell completes verbs, settings and their values.

Usage: playloop completion bash|zsh|fish

The script asks the playloop that is on the PATH at each Tab, so that it follows the active environment and
its plugins. What settings there are is worked out in the background and kept in the user's cache folder: a
verb's are there some seconds after the first Tab.

Examples:
  eval "$(playloop completion bash)"           in ~/.bashrc
  eval "$(playloop completion zsh)"            in ~/.zshrc, after compinit
  playloop completion fish | source            in ~/.config/fish/config.fish"""

from __future__ import annotations

from importlib import resources

from playloop.cli.arguments import Arguments
from playloop.cli.verbs import SHELLS
from playloop.core.words import nearest


def run(arguments: Arguments) -> int:
    """Print the script; returns the exit status."""
    if len(arguments.words) != 1 or arguments.words[0] not in SHELLS:
        hint = nearest(arguments.words[0], SHELLS) if arguments.words else f": {', '.join(SHELLS)}"
        raise ValueError(f"name a shell{hint}, as in: playloop completion bash.")
    script = resources.files("playloop.cli") / "shells" / f"completion.{arguments.words[0]}"
    print(script.read_text(), end="")
    return 0
