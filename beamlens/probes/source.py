"""Reads the source of loaded modules to find where a container is added to and where descriptors are opened."""

from __future__ import annotations

import ast
import functools
import linecache
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from beamlens.evidence import Place
from beamlens.probes.frames import is_library_file, is_own_module, is_standard_file

_MOST_BYTES = 2_000_000
_ADDING = frozenset(
    {
        "append", "appendleft", "add", "insert", "extend", "extendleft", "update", "setdefault",
        "put", "put_nowait", "push", "submit", "write",
    }
)  # fmt: skip
_THROUGH = frozenset({"setdefault", "get", "values", "items", "pop", "__getitem__"})
_Function = ast.FunctionDef | ast.AsyncFunctionDef

OPENERS: dict[str, str] = {
    "open": "file", "fdopen": "file", "NamedTemporaryFile": "file", "TemporaryFile": "file", "mkstemp": "file",
    "open_text": "file", "SpooledTemporaryFile": "file", "FileIO": "file",
    "socket": "socket", "create_connection": "socket", "create_server": "socket", "socketpair": "socket",
    "HTTPConnection": "socket", "HTTPSConnection": "socket", "urlopen": "socket", "accept": "socket",
    "connect": "socket", "Session": "socket", "Client": "socket",
    "pipe": "pipe", "pipe2": "pipe", "Popen": "pipe", "dup": "any", "epoll": "any", "eventfd": "any",
    "memfd_create": "any", "DefaultSelector": "any", "mmap": "any",
}  # fmt: skip
"""Names of calls that open a descriptor, and its kind."""


@dataclass(frozen=True, slots=True)
class Site:
    """A place in the code where something happens to a container.

    Attributes:
        place: Where.
        opens: Where the thing that is added was opened, if the function shows that.
    """

    place: Place
    opens: Place | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parsed source file with the qualified name of each function."""

    file: str
    tree: ast.Module
    functions: tuple[tuple[str, _Function], ...]


def parse(file: str) -> Parsed | None:
    """Parse a source file; ``None`` when it cannot be read or parsed. Cached until it changes on disk."""
    try:
        stat = Path(file).stat()
    except OSError:
        return None
    if stat.st_size > _MOST_BYTES:
        return None
    return _parse(file, stat.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _parse(file: str, _changed: int) -> Parsed | None:
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None
    return Parsed(file, tree, tuple(_functions(tree, "")))


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, _Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _Function):
            name = f"{prefix}{child.name}"
            yield name, child
            yield from _functions(child, f"{name}.<locals>.")
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        else:
            yield from _functions(child, prefix)


def user_files() -> list[str]:
    """Source files of the loaded modules that are the user's."""
    found: dict[str, None] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) if type(module) is type(sys) else None
        if type(file) is str and file.endswith(".py") and not is_own_module(name):
            if name == "__main__" and is_own_module(str(getattr(module, "__package__", "") or "")):
                continue
            found[file] = None
    user = [file for file in found if not is_standard_file(file) and not is_library_file(file)]
    if user:
        return user
    return [file for file in found if not is_standard_file(file)]


def call_sites(parsed: Parsed, name: str) -> list[Place]:
    """Lines that call something of this name, as ``name(...)`` or ``anything.name(...)``, each with its function."""
    spans = [(node.lineno, node.end_lineno or node.lineno, function) for function, node in parsed.functions]
    found = []
    for node in ast.walk(parsed.tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", None)
        if called == name:
            inside = [span for span in spans if span[0] <= node.lineno <= span[1]]
            function = max(inside)[2] if inside else ""
            found.append(Place(file=parsed.file, line=node.lineno, function=function))
    return found


def class_site(parsed: Parsed, qualified_name: str) -> Place | None:
    """Where a class is defined, by the last part of its name; ``None`` when there are several or none."""
    name = qualified_name.rpartition(".")[2]
    found = [node for node in ast.walk(parsed.tree) if isinstance(node, ast.ClassDef) and node.name == name]
    return Place(file=parsed.file, line=found[0].lineno) if len(found) == 1 else None


def line_of(place: Place) -> str:
    """The line's code: stripped, without a comment."""
    line = linecache.getline(place.file, place.line).strip()
    try:
        for token in tokenize.generate_tokens(iter([line]).__next__):
            if token.type == tokenize.COMMENT:
                return line[: token.start[1]].rstrip()
    except (tokenize.TokenError, SyntaxError, StopIteration):
        pass  # the line is only a part of a statement
    return line


class _Body(ast.NodeVisitor):
    """The statements of one function (or module) without those of the functions inside it."""

    def __init__(self) -> None:
        self.nodes: list[ast.AST] = []

    def generic_visit(self, node: ast.AST) -> None:
        """Collect."""
        self.nodes.append(node)
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, _Function | ast.ClassDef):
                self.visit(child)


def _own_nodes(node: ast.AST) -> list[ast.AST]:
    body = _Body()
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _Function | ast.ClassDef):
            body.visit(child)
    return body.nodes


def scopes(parsed: Parsed) -> Iterator[tuple[str, ast.AST]]:
    """The module and each of its functions, by qualified name; the module's is ``""``."""
    yield "", parsed.tree
    yield from parsed.functions


def growth_sites(parsed: Parsed, name: str, *, attribute: bool) -> list[Site]:
    """Where a container is added to.

    Args:
        parsed: The file.
        name: Name of the variable or attribute that holds the container.
        attribute: Whether it is an attribute (``self.name``, ``module.name``) and not a plain variable.
    """
    found = []
    for function, scope in scopes(parsed):
        nodes = _own_nodes(scope)
        held = _Holder(name, attribute=attribute)
        held.learn_aliases(nodes)
        for node in nodes:
            added = held.added_by(node)
            if added is not None:
                place = Place(file=parsed.file, line=getattr(node, "lineno", 1), function=function)
                found.append(Site(place, _Origin(parsed).of(added, scope, function)))
    return found


class _Holder:
    def __init__(self, name: str, *, attribute: bool) -> None:
        self._name = name
        self._attribute = attribute
        self._aliases: set[str] = set()

    def learn_aliases(self, nodes: list[ast.AST]) -> None:
        """Find variables that stand for the container or for one inside it, as in ``bucket = self.x[key]``."""
        for node in nodes:
            if isinstance(node, ast.Assign):
                targets = [target for target in node.targets if isinstance(target, ast.Name)]
                if targets and self._stands_for(node.value):
                    self._aliases.update(target.id for target in targets)
            elif isinstance(node, ast.For) and isinstance(node.target, ast.Name) and self._stands_for(node.iter):
                self._aliases.add(node.target.id)

    def _stands_for(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute):
            return self._attribute and node.attr == self._name
        if isinstance(node, ast.Name):
            return node.id in self._aliases or (not self._attribute and node.id == self._name)
        if isinstance(node, ast.Subscript):
            return self._stands_for(node.value)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _THROUGH:
            return self._stands_for(node.func.value)
        return False

    def added_by(self, node: ast.AST) -> list[ast.expr] | None:
        """What a statement adds to it; ``None`` when it adds nothing."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _ADDING:
            inner = node.func.value
            return list(node.args) if self._stands_for(inner) else None
        if isinstance(node, ast.Assign):
            stored = any(isinstance(t, ast.Subscript) and self._stands_for(t.value) for t in node.targets)
            return [node.value] if stored else None
        if isinstance(node, ast.AugAssign):
            return [node.value] if self._stands_for(node.target) else None
        return None


class _Origin:
    """Follows a value back to the call that opened it: through variables, parameters and returns of one file."""

    def __init__(self, parsed: Parsed) -> None:
        self._parsed = parsed
        self._found: dict[int, Place] = {}
        self._visited: set[int] = set()

    def of(self, values: list[ast.expr], scope: ast.AST, function: str) -> Place | None:
        """The one place where the values come from, or ``None``."""
        for value in values:
            self._follow(value, scope, function, 4)
        return next(iter(self._found.values())) if len(self._found) == 1 else None

    def _follow(self, value: ast.AST, scope: ast.AST, function: str, depth: int) -> None:
        if depth < 0 or id(value) in self._visited:
            return
        self._visited.add(id(value))
        for part in ast.walk(value):
            if isinstance(part, ast.Call):
                # A function of the file's own may be called connect or open too: then what it returns tells.
                if opener(part) and not self._is_own(part):
                    self._found[part.lineno] = Place(file=self._parsed.file, line=part.lineno, function=function)
                    return
                self._follow_returns(part, depth)
            elif isinstance(part, ast.Name):
                self._follow_name(part.id, scope, function, depth)

    def _is_own(self, call: ast.Call) -> bool:
        return any(scope.name == called_name(call) for _function, scope in self._parsed.functions)

    def _follow_name(self, name: str, scope: ast.AST, function: str, depth: int) -> None:
        for node in _own_nodes(scope):
            if isinstance(node, ast.Assign) and any(
                isinstance(part, ast.Name) and part.id == name for target in node.targets for part in ast.walk(target)
            ):
                self._follow(node.value, scope, function, depth - 1)
        if isinstance(scope, _Function):
            names = [argument.arg for argument in (*scope.args.posonlyargs, *scope.args.args)]
            if name in names:
                self._follow_argument(scope.name, name, names, depth)

    def _follow_argument(self, callee: str, name: str, names: list[str], depth: int) -> None:
        position = names.index(name) - (names[0] in ("self", "cls"))
        for function, scope in scopes(self._parsed):
            for node in _own_nodes(scope):
                if isinstance(node, ast.Call) and called_name(node) == callee:
                    given = [keyword.value for keyword in node.keywords if keyword.arg == name]
                    given += node.args[position : position + 1] if position >= 0 else []
                    for value in given:
                        self._follow(value, scope, function, depth - 1)

    def _follow_returns(self, call: ast.Call, depth: int) -> None:
        for function, scope in self._parsed.functions:
            if scope.name == called_name(call):
                for node in _own_nodes(scope):
                    if isinstance(node, ast.Return) and node.value is not None:
                        self._follow(node.value, scope, function, depth - 1)


def called_name(call: ast.Call) -> str:
    """The last part of what is called: ``connect`` for ``self.pool.connect()``."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def opener(call: ast.Call) -> str:
    """The kind of descriptor that a call opens by its name, or ``""``."""
    return OPENERS.get(called_name(call), "")


def open_sites(parsed: Parsed) -> list[tuple[str, Place]]:
    """Every call of a file that opens a descriptor and is not a ``with`` statement's: its kind and place."""
    found = []
    for function, scope in scopes(parsed):
        nodes = _own_nodes(scope)
        closing = {
            id(part)
            for node in nodes
            if isinstance(node, ast.With | ast.AsyncWith)
            for item in node.items
            for part in ast.walk(item.context_expr)
        }
        for node in nodes:
            if isinstance(node, ast.Call) and id(node) not in closing and (kind := opener(node)):
                found += [(kind, Place(file=parsed.file, line=node.lineno, function=function))]
    return found


def definition(parsed: Parsed, name: str, *, attribute: bool) -> Place | None:
    """Where a container is made: the first assignment to the variable or attribute."""
    for function, scope in scopes(parsed):
        for node in _own_nodes(scope):
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                continue
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                named = (
                    isinstance(target, ast.Attribute) and target.attr == name
                    if attribute
                    else isinstance(target, ast.Name) and target.id == name
                )
                if named:
                    return Place(file=parsed.file, line=node.lineno, function=function)
    return None


def calls(parsed: Parsed, name: str) -> list[Place]:
    """Every call of a function or method of this name."""
    return [
        Place(file=parsed.file, line=node.lineno, function=function)
        for function, scope in scopes(parsed)
        for node in _own_nodes(scope)
        if isinstance(node, ast.Call) and called_name(node) == name
    ]
