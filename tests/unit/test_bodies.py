"""Whether a body says nothing is told from what it compiles to, wherever the class was made."""

import functools
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from weft import Graph, GraphError, Node, NodeConfig
from weft._bodies import innermost, is_empty

SRC = str(Path(__file__).parents[2] / "src")
TEMPLATE = "{prefix}def f(self{parameters}):{body}"
PARAMETERS = ["", ", x=1, *, y: 'int'=2, **k", ", /, a, *args", ", x: object = object()"]

EMPTY = {
    "ellipsis": " ...",
    "pass": " pass",
    "docstring": ' "doc"',
    "docstring and ellipsis": '\n "doc"\n ...',
    "docstring and pass": '\n "doc"\n pass',
    "docstring and return None": '\n "doc"\n return None',
    "several statements that say nothing": "\n ...\n pass\n None\n 5",
    "bare return": " return",
    "return None": " return None",
    "number": " 5",
    "if False": "\n if False: self.x()",
    "while 0": "\n while 0: pass",
    "annotation only": " x: int",
    "global": " global q",
}
CODE = {
    "return a number": " return 5",
    "return an empty string": " return ''",
    "return False": " return False",
    "return the ellipsis": " return ...",
    "return self": " return self",
    "return a display": " return {}",
    "import": " import os",
    "call": " self.g()",
    "raise": " raise NotImplementedError",
    "assignment": " x = 1",
    "inner function": "\n def g(): return self\n",
    "loop": "\n while True: pass",
    "condition": "\n if self: pass\n return None\n",
    "delete": " del self",
    "if __debug__": "\n if __debug__: self.x()",
    "assert": " assert self",
    "try": "\n try: pass\n finally: pass",
}


def made(body, prefix="", parameters=""):
    namespace = {}
    exec(TEMPLATE.format(prefix=prefix, parameters=parameters, body=body), namespace)
    return namespace["f"]


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("prefix", ["", "async "])
@pytest.mark.parametrize("body", EMPTY.values(), ids=EMPTY)
def test_a_body_that_compiles_to_nothing_is_empty(body, prefix, parameters):
    assert is_empty(made(body, prefix, parameters)) is True


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("prefix", ["", "async "])
@pytest.mark.parametrize("body", CODE.values(), ids=CODE)
def test_a_body_that_does_something_is_not_empty(body, prefix, parameters):
    assert is_empty(made(body, prefix, parameters)) is False


@pytest.mark.parametrize("prefix", ["", "async "])
def test_a_generator_is_never_empty(prefix):
    assert is_empty(made(" yield", prefix)) is False


@pytest.mark.parametrize("body", ["\n async with self: pass", "\n await self", "\n async for _ in self: pass"])
def test_awaiting_is_code(body):
    assert is_empty(made(body, "async ")) is False


def test_a_cell_for_super_or_class_does_not_make_a_body_of_code():
    class Maker:
        def empty_beside_it(self):
            def used():
                return self

            return used

        async def names_its_class(self):
            __class__  # noqa: B018

    assert is_empty(Maker.names_its_class) is False
    assert is_empty(Maker.empty_beside_it) is False


def test_a_closure_does_not_hide_an_empty_body():
    outer = 1

    def reader():
        return outer

    async def empty(self, x=outer): ...

    assert reader() == 1
    assert is_empty(empty) is True


def test_methods_static_methods_and_class_methods_are_looked_into():
    class Owner:
        async def empty(self): ...
        @staticmethod
        async def static_empty(): ...
        @classmethod
        async def class_empty(cls): ...
        async def full(self):
            return 1

    owner = Owner()
    assert is_empty(Owner.empty) is True
    assert is_empty(owner.empty) is True
    assert is_empty(Owner.static_empty) is True
    assert is_empty(vars(Owner)["static_empty"]) is True
    assert is_empty(vars(Owner)["class_empty"]) is True
    assert is_empty(owner.class_empty) is True
    assert is_empty(owner.full) is False


def logged(function):
    @functools.wraps(function)
    async def wrapper(*args, **kwargs):
        return await function(*args, **kwargs)

    return wrapper


def hidden(function):
    async def wrapper(*args, **kwargs):
        return await function(*args, **kwargs)

    return wrapper


def test_decorators_that_say_what_they_wrap_are_looked_through():
    empty, full = made(" ...", "async "), made(" return 5", "async ")

    assert is_empty(logged(empty)) is True
    assert is_empty(logged(logged(empty))) is True
    assert is_empty(logged(full)) is False
    assert innermost(logged(logged(empty))) is empty


def test_a_decorator_that_does_not_say_what_it_wraps_is_code_of_its_own():
    assert is_empty(hidden(made(" ...", "async "))) is False


@pytest.mark.parametrize("thing", [len, functools.partial(made(" ...")), object(), functools.partialmethod(len), None])
def test_what_has_no_code_object_cannot_be_told(thing):
    assert is_empty(thing) is None


def test_running_tracing_and_monitoring_change_nothing():
    function = made(" ...")
    coroutine_function = made(" pass", "async ")

    for _ in range(200):
        function(1)
        with pytest.raises(StopIteration):
            coroutine_function(1).send(None)
    before = sys.gettrace()
    sys.settrace(lambda *_: None)
    try:
        function(1)
        assert is_empty(function) is True
    finally:
        sys.settrace(before)

    assert is_empty(function) is True
    assert is_empty(coroutine_function) is True


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is new in 3.12")
def test_instrumented_code_is_still_empty():
    function, tool = made(" ..."), 3
    monitoring = sys.monitoring
    events = monitoring.events.LINE | monitoring.events.PY_START | monitoring.events.INSTRUCTION
    monitoring.use_tool_id(tool, "weft-test")
    try:
        for event in (monitoring.events.LINE, monitoring.events.PY_START, monitoring.events.INSTRUCTION):
            monitoring.register_callback(tool, event, lambda *_: None)
        monitoring.set_events(tool, events)
        function(1)
        assert is_empty(function) is True
    finally:
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)


# --- As node classes -----------------------------------------------------------------------------------------------


class End(Node):
    words: str = ""


class Body:
    async def __call__(self) -> End:
        return End(words="from an object")


class SyncBody:
    def __call__(self) -> End: ...


def test_a_body_without_code_object_is_a_fault_until_routes_says_who_chooses():
    class Unclear(Node):
        __call__ = Body()

    with pytest.raises(GraphError) as caught:
        Graph(start=Unclear)

    assert str(caught.value) == (
        "Unclear.__call__: whether its body has code cannot be told. "
        "Say who chooses the next node: node_config = NodeConfig(routes='lm') or 'code'."
    )


def test_routes_lm_lets_the_lm_choose_for_a_callable_object():
    class Routed(Node):
        node_config = NodeConfig(routes="lm")
        __call__ = SyncBody()

    graph = Graph(start=Routed)

    assert graph.edges == {Routed: {End}, End: set()}
    assert graph.topology.visits[Routed].route.by == "lm"


def test_routes_code_runs_a_callable_object_as_the_body():
    class Coded(Node):
        node_config = NodeConfig(routes="code")
        __call__ = Body()

    result = Graph(start=Coded).run(Coded())

    assert result.result == End(words="from an object")


def test_routes_code_runs_a_partial_method_as_the_body():
    async def go(self, words: str) -> End:
        return End(words=words)

    class Coded(Node):
        node_config = NodeConfig(routes="code")
        __call__ = functools.partialmethod(go, "partial")

    result = Graph(start=Coded).run(Coded())

    assert result.result == End(words="partial")


def test_an_inherited_empty_body_routes_and_an_overriding_one_decides_afresh():
    class Base(Node):
        async def __call__(self) -> End: ...

    class Same(Base):
        extra: int = 0

    class Own(Base):
        async def __call__(self) -> End:
            return End(words="own")

    class Back(Own):
        async def __call__(self) -> End:
            """Nothing of its own."""

    by = {cls: Graph(start=cls).topology.visits[cls].route.by for cls in (Base, Same, Own, Back)}

    assert by == {Base: "lm", Same: "lm", Own: "code", Back: "lm"}


def test_a_body_from_a_mixin_that_is_no_node_counts():
    class Mixin:
        async def __call__(self) -> End: ...

    class Mixed(Mixin, Node):
        pass

    class MixedAfter(Node, Mixin):
        pass

    assert Graph(start=Mixed).edges[Mixed] == {End}
    assert Graph(start=MixedAfter).edges[MixedAfter] == {End}


def test_a_wrapped_empty_body_routes():
    class Wrapped(Node):
        @logged
        async def __call__(self) -> End: ...

    assert Graph(start=Wrapped).topology.visits[Wrapped].route.by == "lm"


def test_a_wrapped_body_with_code_runs_with_its_decorator():
    calls = []

    def counting(function):
        @functools.wraps(function)
        async def wrapper(*args, **kwargs):
            calls.append("decorator")
            return await function(*args, **kwargs)

        return wrapper

    class Wrapped(Node):
        @counting
        async def __call__(self) -> End:
            return End(words="inner")

    result = Graph(start=Wrapped).run(Wrapped())

    assert (result.result, calls) == (End(words="inner"), ["decorator"])


def test_an_empty_body_need_not_be_async():
    class Routing(Node):
        def __call__(self) -> End: ...

    assert Graph(start=Routing).topology.visits[Routing].route.by == "lm"


# --- Where there is no source --------------------------------------------------------------------------------------

PROGRAM = '''
from weft import Dep, Graph, Node

class Question(Node):
    text: str
    async def __call__(self) -> "Later | None":
        """A docstring alone."""

class Later(Node):
    """A person reads this."""
    words: str
    async def __call__(self) -> "Question | None":
        self.words = "seen"

graph = Graph(start=Question)
print({cls.__name__: visit.route.by for cls, visit in graph.topology.visits.items()})
'''
EXPECTED = "{'Question': 'lm', 'Later': 'code'}"


def output_of(*arguments, stdin="", cwd=None):
    command = [sys.executable, *arguments]
    environment = {"PYTHONPATH": SRC, "PATH": "", "PYTHON_BASIC_REPL": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, check=False, cwd=cwd, env=environment, timeout=60
    )
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize("flag", ["-O", "-OO"])
def test_optimised_bytecode_gives_the_same_routes(flag, tmp_path):
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)

    out, err = output_of(flag, str(file))

    assert out == EXPECTED, err


def test_an_assertion_that_o_strips_leaves_an_empty_body():
    program = "from weft._bodies import is_empty\nasync def f(self): assert self\nprint(is_empty(f))"

    assert output_of("-c", program)[0] == "False"
    assert output_of("-O", "-c", program)[0] == "True"


def test_a_repl_works_and_redefined_classes_are_found():
    session = PROGRAM.replace("\nclass Later", "\n\nclass Later").replace("\ngraph", "\n\ngraph")
    redefined = (
        "\nclass Later(Node):\n    number: int\n\n"
        "graph2 = Graph(start=Question)\n"
        "print(Later in graph2.nodes, len(graph2.nodes), Question.successors() == {Later})\n"
    )

    out, err = output_of("-i", "-q", stdin=session + redefined)

    assert out.splitlines() == [EXPECTED, "True 2 True"], err


def test_a_zip_works(tmp_path):
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.writestr("zipped_program.py", PROGRAM)

    out, err = output_of("-c", "import sys; sys.path.insert(0, 'app.zip'); import zipped_program", cwd=tmp_path)

    assert out == EXPECTED, err


def test_exec_works_without_a_file_or_a_module_name():
    namespace = {}

    exec(PROGRAM.replace("print", "shown ="), namespace)

    assert str(namespace["shown"]) == EXPECTED
