"""The files of ``weft batch``: lines of JSON to be done, and lines of JSON that tell what came of them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import describe, sentence
from ._errors import UsageError

# Every line of ours begins like this, so that what a crash has left of one is told from a file of somebody else's.
_OPENING = b'{"line": '
_BOM = b"\xef\xbb\xbf"
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the input: its number from 1, its text, and what it is known by wherever it stands.

    The `id` is made of the text, and of how often the same text stands above it.
    """

    number: int
    id: str
    text: bytes


# --- What is to be done


@contextmanager
def opened_input(named: str) -> Generator[BinaryIO]:
    """Yield a file that can be read twice; ``-`` is standard input; raises UsageError."""
    try:
        given = nullcontext(sys.stdin.buffer) if named == "-" else Path(named).open("rb")  # noqa: SIM115  closed below
    except OSError as error:
        what = f"it cannot be read: {error.strerror or describe(error)}"
        raise UsageError(sentence(named, what, "Name a file with a line of JSON for each run.")) from error
    with given as file, tempfile.TemporaryFile() as kept:
        if not file.seekable():
            shutil.copyfileobj(file, kept)
        yield cast("BinaryIO", file if file.seekable() else kept)


def lines_of(file: BinaryIO) -> Iterator[Line]:
    """Yield each line of *file*, from its beginning; blank ones count and are left out."""
    file.seek(0)
    seen: Counter[bytes] = Counter()
    for number, line in enumerate(file, 1):
        text = line.removeprefix(_BOM if number == 1 else b"").strip()
        if not text:
            continue
        digest = hashlib.sha256(text).digest()[:8]
        seen[digest] += 1
        times = seen[digest]
        yield Line(number, digest.hex() if times == 1 else f"{digest.hex()}#{times}", text)


# --- What came of it


class Output:
    """The file of results, held by one batch at a time; `done` are the ids of the lines that need not run again.

    A line is written at once and whole. What a crash has left of the last one, and lines that failed, are taken out
    when the next batch begins: they are run again.
    """

    def __init__(self, path: Path, numbers: Mapping[str, int], *, prune: bool) -> None:
        self.path = path
        self.done: set[str] = set()
        self._numbers = numbers
        if path.exists():
            self._tidy(prune=prune)
        self._file = path.open("ab")

    def write(self, record: Record) -> None:
        """Add a line, so that it outlives this process; raises UsageError."""
        try:
            self._file.write(_encoded(record))
            self._file.flush()
        except OSError as error:
            raise UsageError(not_writable(self.path, error)) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _tidy(self, *, prune: bool) -> None:
        """Take out what is to be run again, and number the others as the input does; raises UsageError."""
        strange = 0
        with _successor(self.path) as successor:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    record = self._record(number, line)
                    if record is None or record["status"] != "done":
                        continue
                    if record["id"] not in self._numbers:
                        strange += 1
                        continue
                    self.done.add(record["id"])
                    successor.write(_encoded({**record, "line": self._numbers[record["id"]]}))
            if strange and not prune:
                raise UsageError(_strange_results(self.path, strange))

    def _record(self, number: int, line: bytes) -> Record | None:
        """Return what a line says; None for what a crash has left of one."""
        try:
            record = json.loads(line)
        except ValueError as error:
            is_torn = not line.endswith(b"\n") and line[: len(_OPENING)] == _OPENING[: len(line)]
            if is_torn:
                return None
            raise UsageError(_no_result(self.path, number)) from error
        if not (isinstance(record, dict) and {"line", "id", "status"} <= record.keys()):
            raise UsageError(_no_result(self.path, number))
        return cast("Record", record)


@contextmanager
def _successor(path: Path) -> Generator[BinaryIO]:
    """Yield a file that takes the place of the one at *path* in one step, unless an error comes between."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            yield cast("BinaryIO", file)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            Path(file.name).unlink()
            raise
    shutil.copymode(path, file.name)
    Path(file.name).replace(path)


def _encoded(record: Record) -> bytes:
    # Plain ASCII, which no terminal obeys.
    return json.dumps(record).encode("ascii") + b"\n"


def _no_result(path: Path, number: int) -> str:
    what = f"line {number} is no line that weft batch has written"
    return sentence(path.name, what, "Name another file for the results, or move this one away.")


def _strange_results(path: Path, count: int) -> str:
    some = "1 result is" if count == 1 else f"{count:,} results are"
    hint = "Name another file for the results, or drop what does not belong with --prune."
    return sentence(path.name, f"{some} of a line that is not in the input", hint)


def not_writable(path: Path, error: OSError) -> str:
    """Return the line that tells why *path* takes nothing."""
    return sentence(str(path), f"it cannot be written: {error.strerror or describe(error)}")


@contextmanager
def held(path: Path) -> Generator[None]:
    """Keep other batches away from *path* while this lasts, by a lock that ends with the process; raises UsageError."""
    lock = path.with_name(f"{path.name}.lock")
    file = _locked(lock)
    if file is None:
        what = "another batch is writing it"
        raise UsageError(sentence(path.name, what, "Wait for its end, or name another file for the results."))
    try:
        yield
    finally:
        if sys.platform != "win32":  # there a file that is open cannot be removed
            lock.unlink(missing_ok=True)
        file.close()


def _locked(lock: Path) -> BinaryIO | None:
    """Return *lock*, locked; None if another process has it."""
    while True:
        file = lock.open("ab")
        if not _lock(file):
            file.close()
            return None
        # Who had it before may have removed it in between.
        if lock.exists() and os.path.samestat(lock.stat(), os.fstat(file.fileno())):
            return file
        file.close()


if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(file: BinaryIO) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
