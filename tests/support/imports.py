"""Read which modules a source file imports, without importing it.

Imports under `if TYPE_CHECKING:` never run and are left out. A package's `__init__` counts only for names that are
taken from it: that importing a submodule runs it too says nothing about what the submodule needs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeGuard

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Import:
    """One import: the module it names, and whether it runs only when a function is called."""

    module: str
    in_function: bool


@dataclass(frozen=True)
class Source:
    """Packages by name, with the directory each lies in."""

    packages: tuple[tuple[str, Path], ...]

    def modules(self, package: str) -> list[str]:
        """Return the dotted names of all modules of a package."""
        root = dict(self.packages)[package]
        return sorted(self._name(root, path) for path in (root / package).rglob("*.py"))

    def path(self, module: str) -> Path | None:
        """Return the file of a module of ours, or None for anybody else's."""
        root = dict(self.packages).get(module.partition(".")[0])
        if root is None:
            return None
        base = root.joinpath(*module.split("."))
        return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)

    def imports(self, module: str) -> frozenset[Import]:
        """Return what the module imports; raises FileNotFoundError when there is no such module."""
        path = self.path(module)
        if path is None:
            raise FileNotFoundError(f"there is no module {module}")
        return _imports(self, module, path)

    def chains(self, module: str) -> dict[str, str]:
        """Return every module this one reaches, with the way to it: "a -> b -> c"."""
        ways, unread = {module: module}, [module]
        while unread:
            here = unread.pop()
            for found in sorted(self.imports(here), key=lambda one: one.module):
                if found.module not in ways:
                    ways[found.module] = f"{ways[here]} -> {found.module}"
                    unread += [found.module] if self.path(found.module) else []
        return ways

    @staticmethod
    def _name(root: Path, path: Path) -> str:
        parts = path.relative_to(root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


OURS = Source((("lockmanager", REPOSITORY / "coordinator"), ("lockmanager_node", REPOSITORY / "node")))


@cache
def _imports(source: Source, module: str, path: Path) -> frozenset[Import]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(
        Import(name, in_function)
        for node, in_function in _import_nodes(tree, in_function=False)
        for name in _names(source, package, node)
    )


def _import_nodes(node: ast.AST, *, in_function: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node, in_function
    inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    children = node.orelse if _is_type_checking(node) else ast.iter_child_nodes(node)
    for child in children:
        yield from _import_nodes(child, in_function=inside)


def _is_type_checking(node: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _names(source: Source, package: str, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        parents = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*parents, base] if base else parents)
    for alias in node.names:
        submodule = f"{base}.{alias.name}"
        yield submodule if source.path(submodule) else base
