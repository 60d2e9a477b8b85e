"""Shell completion, as the shells ask for it, and once by hand in a real bash."""

from __future__ import annotations

import os
import shlex
import shutil
import sys

import pexpect
import pytest
from commands import SOURCE

from weft.cli import main

BASH = shutil.which("bash")

FILES = """
raise RuntimeError("completing must not import this")
from weft import Graph
import weft as w

first = Graph(start=Ask)
second: Graph[Any] = w.Graph[Any](start=Ask)
number = len([])
gone.third = Graph(start=Ask)
"""


@pytest.fixture
def files(write):
    write("trip.py", FILES, head="")
    write("tool.py", "this is no Python (", head="")
    write("notes.txt", "")
    write("my file.py", "", head="")
    write("pkg/inner/one.py", "", head="")
    write("pkg/inner/two.py", "", head="")
    write("__pycache__/x.py", "", head="")


@pytest.fixture
def answered(files, monkeypatch, capsys):
    """What the command prints when a shell sets these variables."""

    def ask(**variables: str) -> str:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        try:
            code = main([])
        except SystemExit as done:
            code = done.code
        captured = capsys.readouterr()
        assert (code, captured.err) == (0, "")
        return captured.out

    return ask


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("run|", "pkg/ tool.py trip.py"),
        ("graph|check|tr", "trip.py"),
        ("run|pkg/inner/t", "pkg/inner/two.py"),
        ("run|pk", "pkg/inner/one.py pkg/inner/two.py"),  # a folder that stands alone is opened
        ("run|nowhere/", ""),
        ("run|trip.py|:", "first second"),
        ("run|trip.py|:|f", "first"),
        ("run|trip.py:s", "trip.py:second"),  # where bash was told not to part words at colons
        ("run|tool.py|:|", ""),
        ("run|nowhere.py|:", ""),
        ("run|trip.py|--set|text=a|:", ""),
        ("run|trip.py|--lm|off", "offline"),
        ("run|trip.py|--max", "--max-steps"),
        ("ne", "new"),
    ],
)
def test_bash_is_offered_what_fits(answered, words, offered):
    sent = ["weft", *words.split("|")]

    out = answered(_WEFT_COMPLETE="complete_bash", COMP_WORDS="\n".join(sent), COMP_CWORD=str(len(sent) - 1))

    assert out.split() == offered.split()


def test_zsh_is_offered_the_graphs_of_a_file(answered):
    out = answered(_WEFT_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="weft run trip.py:")

    assert out == '_arguments \'*: :(("trip.py\\\\:first"\n"trip.py\\\\:second"))\'\n'


def test_fish_is_offered_the_graphs_of_a_file(answered):
    variables = {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TYPER_COMPLETE_ARGS": "weft run trip.py:"}

    assert answered(_WEFT_COMPLETE="complete_fish", **variables) == "trip.py:first\ntrip.py:second\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(answered, shell):
    assert f"_WEFT_COMPLETE=complete_{shell}" in answered(_WEFT_COMPLETE=f"source_{shell}")


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
def test_a_real_bash_installs_it_and_completes_commands_files_graphs_and_lms(files, tmp_path):
    command = tmp_path / "bin" / "weft"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m weft "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PATH": path, "TERM": "dumb", "PS1": "$ "}
    environment |= {"INPUTRC": os.devnull, "HOME": str(tmp_path / "home")}
    bash = pexpect.spawn(str(BASH), ["--norc", "--noprofile"], env=environment, encoding="utf-8", timeout=60)
    try:
        bash.sendline("set +o history; PS1='$ '; weft --install-completion; . ~/.bashrc; echo re''ady")
        bash.expect_exact("ready")
        bash.send("echo; weft ru\t")
        bash.expect_exact("run ")
        bash.send("tri\t")
        bash.expect_exact("trip.py ")
        bash.send("\b:se\t")
        bash.expect_exact("cond ")
        bash.send("--lm off\t")
        bash.expect_exact("line ")
    finally:
        bash.close(force=True)

    assert not bash.isalive()
