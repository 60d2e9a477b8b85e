"""`weft graph export`: a picture in a file, or on standard output."""

import os
from xml.etree import ElementTree as ET

import pytest


@pytest.mark.parametrize("ending", [".mmd", ".mermaid"])
def test_mermaid_is_written_by_its_endings(weft, trip, ending):
    done = weft("graph", "export", "trip", "-o", f"trip{ending}")

    assert (done.code, done.out, done.err) == (0, f"3 nodes written to trip{ending}.\n", "")
    assert trip.with_suffix(ending).read_text("utf-8") == (
        "graph TD\n    Ask --> Plan\n    Ask --> Refusal\n    linkStyle 0,1 stroke-dasharray:7 4\n"
    )


def test_mermaid_tells_code_from_the_lm(weft, write):
    write(
        "m.py",
        """
        class A(Node):
            async def __call__(self) -> "B": ...

        class B(Node):
            async def __call__(self) -> "A | C":
                return C()

        class C(Node):
            async def __call__(self) -> "A | None": ...
        """,
    )

    done = weft("graph", "export", "m:A", "-o", "-", "--format", "mermaid")

    assert done.out.splitlines()[1:] == [
        "    A --> B",
        "    B --> A",
        "    B --> C",
        "    C --> A",
        "    linkStyle 1,2 stroke-dasharray:2 3",
        "    linkStyle 3 stroke-dasharray:7 4",
    ]


def test_text_is_what_show_prints(weft, trip):
    shown = weft("graph", "show", "trip").out
    weft("graph", "export", "trip", "-o", "trip.txt")

    assert trip.with_suffix(".txt").read_text("utf-8") == shown


def test_svg_is_a_document_in_utf_8(weft, trip):
    done = weft("graph", "export", "trip", "--output", "trip.SVG")

    assert (done.code, done.out) == (0, "3 nodes written to trip.SVG.\n")
    assert ET.fromstring(trip.with_suffix(".SVG").read_bytes()).get("role") == "img"


def test_standard_output_holds_the_picture_and_nothing_else(weft_process, trip):
    done = weft_process("graph", "export", "trip", "-o", "-", "--format", "svg", env={"PYTHONIOENCODING": "ascii"})

    assert (done.code, done.err) == (0, "")
    assert "Ask → Plan: the LM chooses" in [each.text for each in ET.fromstring(done.out).iter()]


def test_a_format_is_stronger_than_an_ending(weft, trip):
    done = weft("graph", "export", "trip", "-o", "picture", "--format", "text")

    assert (done.code, done.err) == (0, "")
    assert trip.with_name("picture").read_text("utf-8").startswith("Ask  start\n")


@pytest.mark.parametrize(
    ("file", "error"),
    [
        ("a.png", "a.png: the ending .png is not known. Use one of .svg, .mmd, .mermaid, .txt, or add --format."),
        ("a", "a: it has no ending. Use one of .svg, .mmd, .mermaid, .txt, or add --format."),
        ("-", "standard output has no ending. Add --format, one of: svg, mermaid, text."),
        ("no/a.svg", "no/a.svg: cannot be written: No such file or directory."),
        ("trip.py/a.svg", "trip.py/a.svg: cannot be written: Not a directory."),
        ("\0.svg", "\\x00.svg: cannot be written: embedded null byte."),
    ],
)
def test_a_file_that_cannot_be_written_is_told_in_one_line(weft, trip, file, error):
    done = weft("graph", "export", "trip", "-o", file)

    assert (done.code, done.out, done.err) == (2, "", f"Error: {error}\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")  # noqa: PTH110
def test_a_full_disk_is_told_in_one_line(weft, trip):
    done = weft("graph", "export", "trip", "-o", "/dev/full", "--format", "svg")

    assert (done.code, done.err) == (2, "Error: /dev/full: cannot be written: No space left on device.\n")


def test_a_faulty_graph_writes_nothing(weft, write):
    path = write("m.py", "class A(Node):\n    async def __call__(self): ...\n")

    done = weft("graph", "export", "m:A", "-o", "a.svg")

    assert (done.code, done.out) == (2, "")
    assert not path.with_name("a.svg").exists()


def test_a_file_must_be_named(weft, trip):
    done = weft("graph", "export", "trip")

    assert (done.code, done.out) == (2, "")
    assert "Missing option" in done.err
