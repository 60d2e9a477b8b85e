"""`weft new NAME`: a small project that works as it is written, and is written whole or not at all."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import SOURCE

from weft import __version__

FILES = {"my_agent.py", "tests/test_my_agent.py", "README.md", "pyproject.toml", ".gitignore"}


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run *command* as the new project's owner would, with Weft installed."""
    mine = {"PYTEST_ADDOPTS", "MYPYPATH"}
    environment = {name: value for name, value in os.environ.items() if name not in mine}
    environment |= {"PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("new")
    done = run("weft", "new", "my-agent", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "my-agent"


def test_it_tells_what_is_written_and_what_to_do_next(weft, tmp_path):
    done = weft("new", "my-agent")

    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "my-agent is written:\n"
        "  my_agent.py             the graph\n"
        "  tests/test_my_agent.py  its test\n"
        "  README.md               the commands\n"
        "  pyproject.toml          what it needs\n"
        "  .gitignore              what git leaves out\n"
        "\n"
        "Next:\n"
        "  cd my-agent\n"
        "  weft run my_agent.py --lm offline\n"
        "  weft graph show my_agent.py\n"
        "  python -m pytest\n"
    )
    assert files_in(tmp_path) == {f"my-agent/{name}" for name in FILES}


def test_what_is_written_names_the_project_and_this_version(project):
    written = {name: (project / name).read_text("utf-8") for name in FILES}

    assert 'name = "my-agent"' in written["pyproject.toml"]
    assert f'dependencies = ["weft>={__version__}"]' in written["pyproject.toml"]
    assert written["README.md"].startswith("# my-agent\n")
    assert "from my_agent import (" in written["tests/test_my_agent.py"]
    assert [name for name, text in written.items() if "$" in text or not text.endswith("\n")] == []


def test_the_project_passes_its_own_test(project):
    done = run("pytest", "-q", "-p", "no:cacheprovider", cwd=project)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_the_project_s_test_notices_a_broken_graph(weft, tmp_path):
    weft("new", "broken")
    graph = tmp_path / "broken" / "broken.py"
    graph.write_text(graph.read_text("utf-8").replace("Dep(get_opening_hours)", "Dep(lambda: {})"), "utf-8")

    done = run("pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path / "broken")

    assert done.returncode == 1
    assert "1 failed, 2 passed" in done.stdout


def test_every_command_of_its_readme_works(project):
    text = (project / "README.md").read_text("utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    commands = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]

    done = {shlex.join(each): run(*(each[2:] if each[0] == "python" else each), cwd=project) for each in commands}

    assert [each[:2] for each in commands] == [
        ["weft", "run"],
        ["weft", "run"],
        ["weft", "graph"],
        ["weft", "graph"],
        ["python", "-m"],
        ["weft", "graph"],
    ]
    assert {command: each.stderr for command, each in done.items() if each.returncode} == {}


def test_the_code_is_formatted_and_typed_as_its_owner_would_check_it(project):
    formatted = run("ruff", "format", "--check", "--isolated", "--no-cache", ".", cwd=project)
    linted = run("ruff", "check", "--isolated", "--no-cache", "--select", "E,F,I,UP,B,SIM,RUF", ".", cwd=project)
    typed = run("mypy", "--cache-dir", os.devnull, "my_agent.py", "tests", cwd=project)

    assert formatted.returncode == 0, formatted.stdout
    assert linted.returncode == 0, linted.stdout
    assert typed.returncode == 0, typed.stdout


@pytest.mark.parametrize(
    ("name", "told"),
    [
        *((name, "cannot be a project's name. Use at most 60 letters") for name in ("", "..", "a/b", "a\\b", "/tmp/a")),
        *(
            (name, "cannot be a project's name. Use at most 60 letters")
            for name in ("1st", "con.fig", "é", "a b", "a-")
        ),
        ("x" * 61, "cannot be a project's name. Use at most 60 letters"),
        ("a\x1b[31m", r"'a\x1b[31m' cannot be a project's name."),
        ("class", "'class' cannot be a project's name: Python keeps the word 'class' for itself."),
        ("None", "'None' cannot be a project's name: Python keeps the word 'None' for itself."),
        ("async", "Python keeps the word 'async' for itself."),
        ("json", "'json' cannot be a project's name: a module is called 'json' already. Choose another."),
        ("Weft", "a module is called 'weft' already."),
        ("test", "a module is called 'test' already."),
        ("pydantic", "a module is called 'pydantic' already."),
        ("pydantic-core", "a module is called 'pydantic_core' already."),
        ("full", "the folder full is there already, and is not empty."),
        ("file", "file is there already, and is no folder."),
        ("link", "link is there already, and is no folder."),
    ],
)
def test_a_name_that_will_not_do_is_told_in_a_line_and_nothing_is_written(weft, write, tmp_path, name, told):
    write("full/README.md", "mine")
    write("file", "mine")
    (tmp_path / "link").symlink_to(tmp_path / "full")
    before = files_in(tmp_path)

    done = weft("new", name)

    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert told in done.err
    assert files_in(tmp_path) == before
    assert (tmp_path / "full" / "README.md").read_text("utf-8") == "mine"


def test_an_empty_folder_and_a_module_of_that_name_beside_it_are_no_obstacle(write, tmp_path):
    write("my_agent.py", "mine", head="")
    (tmp_path / "my-agent").mkdir()

    done = run("weft", "new", "my-agent", cwd=tmp_path)  # which puts this folder on the module path

    assert (done.returncode, done.stderr) == (0, "")
    assert files_in(tmp_path / "my-agent") == FILES
    assert (tmp_path / "my_agent.py").read_text("utf-8") == "mine"


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_failure_half_way_leaves_nothing(tmp_path):
    code = "import resource, sys; from weft.cli import main; resource.setrlimit(resource.RLIMIT_FSIZE, (1100, 1100));"
    ignore = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    command = [sys.executable, "-c", f"{ignore} {code} sys.exit(main(['new', 'my-agent']))"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"}

    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: NAME: my-agent cannot be written here: File too large.\n"
    assert list(tmp_path.iterdir()) == []
