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
from pydantic import BaseModel, ConfigDict, Field, JsonValue, PrivateAttr, ValidationError
from pydantic_core import from_json

from .._event import jsonable
from ..errors import ProgramFileError, StaleProgramError, describe, reasons_of, sentence, shorten
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
    fields: dict[str, str] = Field(default_factory=dict[str, str])
    demos: list[dict[str, JsonValue]] = Field(default_factory=list[dict[str, JsonValue]])

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

    format: Literal["weft programs"] = "weft programs"
    version: Literal[1] = 1
    dspy: str
    adapter: str
    graph: str | None
    programs: dict[str, SavedProgram]
    _path: str = PrivateAttr("")

    @property
    def path(self) -> str:
        """The file that they were read from."""
        return self._path

    @classmethod
    def of(cls, nodes: Mapping[str, ProgramPredictor], graph: str | None = None) -> SavedPrograms:
        """Return what was tuned of *nodes*, all with one adapter, that belong to the graph that starts with *graph*."""
        programs = {key: SavedProgram.of(each) for key, each in nodes.items()}
        adapters = sorted({each.adapter for each in nodes.values()})
        if len(adapters) != 1:
            what = f"they were tuned with {' and '.join(adapters)}" if adapters else "there is none"
            raise ValueError(sentence("predictors", what, "One file holds those of one adapter."))
        return cls(dspy=dspy.__version__, adapter=adapters[0], graph=graph, programs=programs)

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
            saved = cls.model_validate(content)
        except ValidationError as error:
            raise ProgramFileError(where, "; ".join(reasons_of(error)[:3]), "Optimise again and save it.") from error
        saved._path = where  # noqa: SLF001  its own
        return saved

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

    def check_adapter(self, name: str) -> None:
        """Check that prompts are written by the adapter of this *name*; raises ProgramFileError."""
        if self.adapter != name:
            what = f"it was tuned with {shorten(self.adapter)}, and this LM writes prompts with {name}"
            raise ProgramFileError(self.path, what, "Pass lm=DSPyBackend(..., adapter=...) with that one.")

    def apply(self, nodes: Mapping[str, ProgramPredictor]) -> dict[str, str]:
        """Tune *nodes* and return why some were not, by their keys; raises ProgramFileError."""
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


def stale(path: str, problems: Mapping[str, str]) -> StaleProgramError:
    """Return the error for *problems* with the programs at *path*."""
    told = "; ".join(f"{key}: {why}" for key, why in problems.items())
    hint = "Optimise again, or say partial=True to ask those as they were never tuned."
    return StaleProgramError(f"{path}: {told}", hint, problems=problems)


def _check_version(where: str, content: Any) -> None:
    told = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    if told.get("format") != FORMAT:
        raise ProgramFileError(where, "this is no file of tuned programs", "Is it the right file?")
    version: Any = told.get("version")
    if type(version) is not int or version != VERSION:
        what = f"it is of version {shorten(repr(version), 40)}, and this Weft reads version {VERSION}"
        raise ProgramFileError(where, what, "Upgrade Weft, or optimise again.")


def _description(info: Any) -> str:
    told: Mapping[str, Any] = info.json_schema_extra or {}
    return str(told.get("desc") or "")


def _demo(demo: Mapping[str, Any], signature: Any) -> dspy.Example:
    inputs = {name: value for name, value in demo.items() if name in signature.input_fields}
    return example_of(inputs, {name: value for name, value in demo.items() if name not in inputs})
