"""Public names of a package that are imported when they are first asked for (PEP 562)."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy(
    package: str, public: dict[str, tuple[str, ...]], **modules: str
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """`__all__`, `__getattr__` and `__dir__` of a package: public has names by the module that
    defines them, modules what a whole module is called; all relative to the package."""
    home = {name: module for module, names in public.items() for name in names}
    every = [*home, *modules]

    def get(name: str) -> Any:
        """The public name, from its own module; AttributeError: there is none of that name."""
        if name in modules:
            return import_module(f"{package}.{modules[name]}")
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    return every, get, lambda: sorted({*vars(import_module(package)), *every})
