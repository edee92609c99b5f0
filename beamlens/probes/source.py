"""Reads the source of loaded modules to find where a container is added to and where descriptors are opened."""

from __future__ import annotations

import ast
import functools
import linecache
import sys
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
    found = {}
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


def line_of(place: Place) -> str:
    """The line's text, stripped."""
    return linecache.getline(place.file, place.line).strip()


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
                found.append(Site(place, _opened_at(added, nodes, parsed.file, function)))
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


def _opened_at(added: list[ast.expr], nodes: list[ast.AST], file: str, function: str) -> Place | None:
    """The call that opened what is added: in the statement itself, or where its variable was assigned."""
    for expression in added:
        for part in ast.walk(expression):
            if isinstance(part, ast.Call) and opener(part):
                return Place(file=file, line=part.lineno, function=function)
    names = {part.id for expression in added for part in ast.walk(expression) if isinstance(part, ast.Name)}
    places = set()
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and opener(node.value):
            assigned = {part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name)}
            if assigned & names:
                places.add(node.value.lineno)
    if len(places) == 1:
        return Place(file=file, line=places.pop(), function=function)
    return None


def opener(call: ast.Call) -> str:
    """The kind of descriptor that a call opens by its name, or ``""``."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return OPENERS.get(name, "")


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
                found.append((kind, Place(file=parsed.file, line=node.lineno, function=function)))
    return found


def definition(parsed: Parsed, name: str, *, attribute: bool) -> Place | None:
    """Where a container is made: the first assignment to the variable or attribute."""
    for function, scope in scopes(parsed):
        for node in _own_nodes(scope):
            targets = node.targets if isinstance(node, ast.Assign) else []
            if isinstance(node, ast.AnnAssign) and node.value is not None:
                targets = [node.target]
            for target in targets:
                named = (
                    isinstance(target, ast.Attribute) and target.attr == name
                    if attribute
                    else isinstance(target, ast.Name) and target.id == name
                )
                if named:
                    return Place(file=parsed.file, line=node.lineno, function=function)
    return None
