"""Tuned prompts in a file: JSON of our own, fields by name, nothing of models, keys or code."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal, cast

import dspy
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import from_json

from ..backends._dspy.calls import ADAPTER
from ..backends.dspy import DSPyBackend
from ..errors import ProgramFileError, describe, reasons_of, shorten
from ..events import jsonable
from ._examples import example_of
from ._programs import ProgramPredictor

FORMAT = "weft programs"
VERSION = 1
MISSING = "it is not in the file"
STALE = "its fields have changed since it was tuned"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SavedProgram(_Strict):
    """What was tuned of one program: None and nothing where that was left as the graph has it."""

    contract: str
    instructions: str | None = None
    fields: dict[str, str] = Field(default_factory=dict)
    demos: list[dict[str, JsonValue]] = Field(default_factory=list)

    @classmethod
    def of(cls, predictor: ProgramPredictor) -> SavedProgram:
        """Return what differs in *predictor* from the graph's own prompt."""
        plain, tuned = predictor.program.signature, predictor.signature
        described = {name: _description(each) for name, each in tuned.fields.items()}
        demos = [
            {name: jsonable(value) for name, value in demo.items() if name in tuned.fields} for demo in predictor.demos
        ]
        return cls(
            contract=predictor.program.contract,
            instructions=None if tuned.instructions == plain.instructions else tuned.instructions,
            fields={name: text for name, text in described.items() if text != _description(plain.fields[name])},
            demos=demos,
        )

    def apply(self, predictor: ProgramPredictor) -> None:
        """Tune *predictor*; raises KeyError with the place of a field that it does not have."""
        signature = predictor.program.signature
        known = signature.fields
        places = [f"fields.{name}" for name in self.fields if name not in known]
        places += [f"demos.{n}.{name}" for n, demo in enumerate(self.demos) for name in demo if name not in known]
        if places:
            raise KeyError(places[0])
        if self.instructions is not None:
            signature = signature.with_instructions(self.instructions)
        for name, text in self.fields.items():
            signature = signature.with_updated_fields(name, desc=text)
        predictor.signature = signature
        predictor.demos = [_demo(demo, signature) for demo in self.demos]


class SavedPrograms(_Strict):
    """A file of tuned programs."""

    format: Literal["weft programs"] = FORMAT
    version: Literal[1] = VERSION
    dspy: str
    adapter: str
    graph: str | None
    programs: dict[str, SavedProgram]
    path: str = Field(default="", exclude=True)

    @classmethod
    def of(cls, nodes: Mapping[str, ProgramPredictor], backend: DSPyBackend, graph: str | None) -> SavedPrograms:
        """Return what was tuned of *nodes*, that *backend* asks."""
        programs = {key: SavedProgram.of(each) for key, each in nodes.items()}
        return cls(dspy=dspy.__version__, adapter=adapter_name(backend), graph=graph, programs=programs)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> SavedPrograms:
        """Return the programs in the file at *path*; raises ProgramFileError."""
        where = os.fspath(path)
        try:
            content: Any = from_json(Path(path).read_bytes())
        except FileNotFoundError as error:
            raise ProgramFileError(where, "there is no such file", "Write one: compiled.save(path).") from error
        except OSError as error:
            raise ProgramFileError(where, f"it cannot be read: {describe(error)}") from error
        except ValueError as error:
            raise ProgramFileError(where, f"this is no JSON: {error}", "Is it the right file?") from error
        _check_version(where, content)
        try:
            return cls.model_validate({**content, "path": where})
        except ValidationError as error:
            raise ProgramFileError(where, "; ".join(reasons_of(error)[:3]), "Optimise again and save it.") from error

    def write(self, path: str | PathLike[str]) -> None:
        """Write them to *path*, all of it or nothing."""
        text = json.dumps(self.model_dump(), indent=2, ensure_ascii=False)
        target = Path(path)
        with tempfile.NamedTemporaryFile("wb", dir=target.parent, prefix=f".{target.name}-", delete=False) as file:
            # What is half of a character cannot be written as UTF-8, but as JSON escapes it.
            file.write(f"{text}\n".encode(errors="backslashreplace"))
        try:
            Path(file.name).chmod(_MODE)
            Path(file.name).replace(target)
        except OSError:
            Path(file.name).unlink()
            raise

    def apply(self, nodes: Mapping[str, ProgramPredictor], backend: DSPyBackend) -> dict[str, str]:
        """Tune *nodes* and return why some were not, by their keys; raises ProgramFileError."""
        if self.adapter != adapter_name(backend):
            what = f"it was tuned with {shorten(self.adapter)}, and this LM writes prompts with {adapter_name(backend)}"
            raise ProgramFileError(self.path, what, "Pass lm=DSPyBackend(..., adapter=...) with that one.")
        problems: dict[str, str] = {}
        for key, predictor in nodes.items():
            saved = self.programs.get(key)
            if saved is None:
                problems[key] = MISSING
            elif saved.contract != predictor.program.contract:
                problems[key] = STALE
            else:
                self._apply(key, saved, predictor)
        return problems

    def _apply(self, key: str, saved: SavedProgram, predictor: ProgramPredictor) -> None:
        try:
            saved.apply(predictor)
        except KeyError as error:
            what = f"programs.{key}.{error.args[0]}: the program has no such field"
            raise ProgramFileError(self.path, what, "Optimise again and save it.") from error


_MODE = 0o644


def _check_version(where: str, content: Any) -> None:
    if not isinstance(content, dict) or cast("dict[str, Any]", content).get("format") != FORMAT:
        raise ProgramFileError(where, "this is no file of tuned programs", "Is it the right file?")
    version = cast("dict[str, Any]", content).get("version")
    if version != VERSION or isinstance(version, bool):
        what = f"it is of version {shorten(repr(version), 40)}, and this Weft reads version {VERSION}"
        raise ProgramFileError(where, what, "Upgrade Weft, or optimise again.")


def adapter_name(backend: DSPyBackend) -> str:
    """Return the name of the adapter that *backend* writes prompts with."""
    return type(backend.adapter or ADAPTER).__name__


def _description(info: Any) -> str:
    return str((info.json_schema_extra or {}).get("desc") or "")


def _demo(demo: Mapping[str, Any], signature: Any) -> dspy.Example:
    inputs = {name: value for name, value in demo.items() if name in signature.input_fields}
    return example_of(inputs, {name: value for name, value in demo.items() if name not in inputs})
