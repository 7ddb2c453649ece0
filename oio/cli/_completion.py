# SPDX-License-Identifier: Apache-2.0
"""Completion scripts for shells, with a table of the words that may follow, made from the parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping

#: The same in both scripts: from the words before the current one to the words that may follow.
_WALK = r"""  for ((i = @FIRST@; i < @CURRENT@; i++)); do
    word=${@WORDS@[i]}
    case "$word" in
      (@VALUES@) i=$((i + 1)) ;;
      (-*) ;;
      (*)
        if [[ -z $over ]] && _openio_case "${line:+$line }$word -"; then
          line="${line:+$line }$word"
        else
          over=1
        fi ;;
    esac
  done
  case "$before" in
    (@VALUES@) known= ;;
    (*)
      if [[ $before == -* ]] && _openio_case "$line $before"; then
        :
      elif [[ $current == -* ]]; then
        _openio_case "$line -"
      elif [[ -z $over ]]; then
        _openio_case "$line"
      else
        known=
      fi ;;
  esac"""
_BASH = r"""# Completes the command openio in bash: eval "$(openio complete)"
_openio_case() {
  known=
  case "$1" in
@CASES@
    (*) return 1 ;;
  esac
}
_openio() {
  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} line= over= known= word i
@WALK@
  COMPREPLY=($(compgen -W "$known" -- "$current"))
}
complete -o default -F _openio openio
"""
_ZSH = r"""#compdef openio
# Completes the command openio in zsh, after compinit: eval "$(openio complete --shell zsh)"
_openio_case() {
  known=
  case "$1" in
@CASES@
    (*) return 1 ;;
  esac
}
_openio() {
  local current=${words[CURRENT]} before=${words[CURRENT-1]} line= over= known= word i
@WALK@
  if [[ -n $known ]]; then
    compadd -- ${=known}
  else
    _files
  fi
}
if [[ ${funcstack[1]} == _openio ]]; then
  _openio "$@"
else
  compdef _openio openio
fi
"""
SCRIPTS = {
    "bash": _BASH.replace("@WALK@", _WALK)
    .replace("@WORDS@", "COMP_WORDS")
    .replace("@FIRST@", "1")
    .replace("@CURRENT@", "COMP_CWORD"),
    "zsh": _ZSH.replace("@WALK@", _WALK)
    .replace("@WORDS@", "words")
    .replace("@FIRST@", "2")
    .replace("@CURRENT@", "CURRENT"),
}


def script(
    shell: str, general: argparse.ArgumentParser, commands: Mapping[str, argparse.ArgumentParser]
) -> str:
    """Make the script for a shell.

    :param general: parser of the options that all commands have
    :param commands: parser of each command
    """
    values = "|".join(flag for flags, takes_value, _ in _options(general) if takes_value for flag in flags)
    cases = "\n".join(f"    ('{path}') known='{known}' ;;" for path, known in _cases(general, commands))
    return SCRIPTS[shell].replace("@VALUES@", values).replace("@CASES@", cases)


def _cases(
    general: argparse.ArgumentParser, commands: Mapping[str, argparse.ArgumentParser]
) -> Iterator[tuple[str, str]]:
    """Pairs of what has been typed, and the words that may follow: of commands, options, or values."""
    flags = {flag for some, _, _ in _options(general) for flag in some}
    following: dict[str, set[str]] = {}
    for name in commands:
        words = name.split()
        for count, word in enumerate(words):
            following.setdefault(" ".join(words[:count]), set()).add(word)
    for path, words_after in following.items():
        yield path, _joined(words_after)
        if path not in commands:
            yield f"{path} -", _joined(flags)
    for name, parser in commands.items():
        options = list(_options(parser))
        yield f"{name} -", _joined(flags.union(*(some for some, _, _ in options)))
        for some, takes_value, choices in options:
            if takes_value:
                for flag in some:
                    yield f"{name} {flag}", " ".join(choices)


def _joined(words: Iterable[str]) -> str:
    return " ".join(sorted(words))


def _options(parser: argparse.ArgumentParser) -> Iterator[tuple[list[str], bool, list[str]]]:
    """Names of each option, whether a value follows it, and the values that it can have."""
    # A parser has no public way to ask for its options.
    for action in parser._actions:
        if action.option_strings:
            yield (
                list(action.option_strings),
                action.nargs != 0,
                [str(value) for value in action.choices or ()],
            )
