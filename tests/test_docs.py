"""What the documents promise is there: pages, headings, pictures, commands, options, example files, extras.

A reader who types what a page says must not be told that it does not exist.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main

from edge_sorter.cli import app
from edge_sorter.lifecycle.__main__ import app as lifecycle_app
from edge_sorter.sim.detector_levels import app as levels_app
from edge_sorter.sim.render import app as render_app

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(page for room in ("docs", "weights", "deploy", "configs") for page in (ROOT / room).rglob("*.md")),
    ]
)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = {
    "edge-sorter": app,
    "edge_sorter": app,
    "edge_sorter.lifecycle": lifecycle_app,
    "edge_sorter.sim.detector_levels": levels_app,
    "edge_sorter.sim.render": render_app,
}
SHELL_ENDS = {"|", "||", "&", "&&", ";", ">", ">>"}
READERS_OWN = ("configs/mine/", "deploy/containers/line/")  # made by the commands of the page

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


class Line(NamedTuple):
    """A command as a page shows it, from the name of its program on."""

    program: str
    words: list[str]


@every_page
def test_every_link_and_picture_leads_somewhere(page: Path) -> None:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, heading = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{target}: no such file"
        if heading:
            assert heading in _anchors(file), f"{target}: no such heading"


@every_page
def test_every_command_and_option_exists(page: Path) -> None:
    for line in _commands(page.read_text(encoding="utf-8")):
        shown = " ".join([line.program, *line.words])
        if line.program in PROGRAMS:
            wrong = _unknown(_program(line.program), line.words)
            assert wrong is None, f"{shown}: {wrong}"
        else:
            assert importlib.util.find_spec(line.program), f"{shown}: no such module"


@every_page
def test_every_example_file_test_target_and_extra_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"(?<![\w/.-])((?:configs|deploy|tests|edge_sorter)/[\w./-]*\w)(?![\w*{/])", text):
        assert path.startswith(READERS_OWN) or path == "configs/mine" or (ROOT / path).exists(), f"{path}: no such file"
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for target in re.findall(r"(?:^|`)make ([a-z][a-z-]*)", text, re.MULTILINE):
        assert target in targets, f"make {target}: no such target"
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extra in re.findall(r"(?:edge-sorter|-e '?\.)\[(\w+)\]", text):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE), f"no extra named {extra}"


def test_the_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.parent.name == "docs" and f"(docs/{page.name})" not in readme] == []


def test_every_command_is_in_some_page() -> None:
    shown = {line.words[0] for page in PAGES for line in _commands(page.read_text(encoding="utf-8")) if line.words}
    assert set(_subcommands(_program("edge-sorter"))) - shown == set()


def test_every_command_that_a_message_or_an_example_names_exists() -> None:
    commands = _subcommands(_program("edge-sorter"))
    sources = [
        path for room in ("edge_sorter", "configs", "deploy") for path in (ROOT / room).rglob("*") if path.is_file()
    ]
    named = {
        (command, path.name)
        for path in sources
        if path.suffix in (".py", ".sh", ".yaml", ".html", ".js", ".service")
        for command in re.findall(
            r"(?:`|one: |with: |Next: |# )edge-sorter ([a-z][a-z-]+)", path.read_text(encoding="utf-8")
        )
    }
    assert len(named) > 20
    assert {(command, name) for command, name in named if command not in commands} == set()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("`edge-sorter sort x`", "no command sort"),
        ("    edge-sorter replay clip.mp4 --realtimes", "no option --realtimes"),
        (
            "```\nedge-sorter dataset check DATA --strict && \\\n  edge-sorter dataset splits DATA\n```",
            "no command splits",
        ),
        ("```sh\nsudo -u me edge-sorter plan explain p.yaml --cod=1\n```", "no option --cod"),
        ("`python -m edge_sorter.lifecycle trains`", "no command trains"),
        ("```\nedge-sorter check -c a.yaml   # -z is no option, but this is a remark\n```", None),
        ("`edge-sorter evaluate ... --json | jq -r .figures`", None),
        ("`edge-sorter COMMAND --help`", None),
    ],
)
def test_a_wrong_command_in_a_page_is_found(text: str, fault: str | None) -> None:
    lines = list(_commands(text))
    assert lines
    found = [_unknown(_program(line.program), line.words) for line in lines]
    assert next((each for each in found if each), None) == fault


@functools.cache
def _program(name: str) -> Any:
    return typer.main.get_command(PROGRAMS[name])


def _commands(text: str) -> Iterator[Line]:
    """Every command of ours in fenced blocks, indented blocks and `inline code`."""
    joined = re.sub(r"\\\n\s*", " ", text)
    fenced = [line for block in FENCE.findall(joined) for line in block.splitlines()[1:-1]]
    prose = FENCE.sub("", joined)
    indented = re.findall(r"^    (\S.*)$", prose, re.MULTILINE)
    inline = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]
    for line in [*fenced, *indented, *inline]:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:  # an apostrophe: prose or a format, not a command
            continue
        yield from _of_ours(words)


def _of_ours(words: list[str]) -> Iterator[Line]:
    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        begins = place == 0 or before in SHELL_ENDS or (words[0] == "sudo" and before != "-u")
        if word == "-m" and words[place + 1].startswith("edge_sorter"):
            yield Line(words[place + 1], _until_end(words[place + 2 :]))
        elif begins and word.rsplit("/", maxsplit=1)[-1] == "edge-sorter" and not word.startswith("/"):
            yield Line("edge-sorter", _until_end(words[place + 1 :]))


def _until_end(words: list[str]) -> list[str]:
    return words[: next((place for place, word in enumerate(words) if word in SHELL_ENDS), len(words))]


def _unknown(command: Any, words: list[str]) -> str | None:
    """What is wrong with the words after a command, or None."""
    for place, word in enumerate(words):
        name = word.split("=", maxsplit=1)[0]
        if re.fullmatch(r"--?[a-z][a-z-]*", name):
            if name not in _options(command):
                return f"no option {name}"
        elif _subcommands(command) and re.fullmatch(r"[a-z][a-z-]*", word):
            if word not in _subcommands(command):
                return f"no command {word}"
            return _unknown(_subcommands(command)[word], words[place + 1 :])
    return None


def _subcommands(command: Any) -> dict[str, Any]:
    return getattr(command, "commands", {})


def _options(command: Any) -> set[str]:
    return {"--help", *(name for option in command.params for name in [*option.opts, *option.secondary_opts])}


def _anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in plain}
