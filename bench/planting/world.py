# SPDX-License-Identifier: GPL-2.0-only
"""A package's modules once more, some of them from other sources, beside the real ones and unknown to them."""

import builtins
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any


class World:
    """Modules of one package as they would be with other sources. They import one another, and the rest as it is.

    A module of another package is theirs, too, if its source is another. Nothing of it is in sys.modules: whoever
    imports the package elsewhere gets the real one.
    """

    def __init__(self, package: str, sources: Mapping[str, str]) -> None:
        """`sources` has the text of modules, by name, that is to stand in for theirs."""
        self._within = f"{package}."
        self._sources = sources
        self._modules: dict[str, ModuleType] = {}
        self._builtins = vars(builtins) | {"__import__": self._import}

    def module(self, name: str) -> ModuleType:
        """The module of this world, run when it is first asked for."""
        if name not in self._modules:
            module = ModuleType(name)
            vars(module)["__builtins__"] = self._builtins
            self._modules[name] = module
            source = self._sources.get(name)
            code = code_of(name) if source is None else compile(source, f"<mutant of {name}>", "exec")
            exec(code, vars(module))
        return self._modules[name]

    def runs(self, name: str) -> bool:
        """Whether the module has been asked for, here or by another module."""
        return name in self._modules

    def _import(self, name: str, scope: Any = None, local: Any = None, wanted: Any = (), level: int = 0) -> Any:
        if wanted and (name.startswith(self._within) or name in self._sources):
            return self.module(name)
        return builtins.__import__(name, scope, local, wanted, level)


def source_of(name: str) -> tuple[str, Path]:
    """The text of a module as it is, and where it stands. Nothing is run."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin)
    return path.read_text(encoding="utf-8"), path


@lru_cache(maxsize=64)
def code_of(name: str) -> CodeType:
    """What is run of a module as it is."""
    source, path = source_of(name)
    return compile(source, str(path), "exec")
