"""`${…}` resolved, by OmegaConf: bounded, and without writing a secret into what the run keeps."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from stagectl.errors import Fault, dotted
from stagectl.errors import Path as ValuePath
from stagectl.recipe.source import MAX_EXPANSION, Source

SECRET_LENGTH = 8  # what is shorter may stand in a text by chance
_SECRET_NAME = re.compile("(KEY|TOKEN|SECRET|PASSWORD|PASSWD)S?(_|$)", re.IGNORECASE)  # not KEYBOARD, TOKENIZERS
_REFERENCE = re.compile(r"\$\{([^${}]*)\}")
_VARIABLE = re.compile(r"\$\{\s*oc\.env\s*:\s*['\"]?(\w+)")


def interpolated(source: Source) -> Source:
    wanted = [(path, text) for path, text in _texts(source.data) if "${" in text]
    if not wanted:
        return source
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for path, text in wanted:
        for name in filter(_SECRET_NAME.search, _VARIABLE.findall(text)):
            raise source.error(_secret_fault(path, name))
    try:
        _check_expansion(source)
        config = OmegaConf.create(source.data)
        for path, _ in wanted:
            OmegaConf.select(config, ".".join(map(str, path)), throw_on_missing=True)
        data: Any = OmegaConf.to_container(config, resolve=True)
    except RecursionError:
        raise source.error(Fault((), "its interpolations refer to one another too deeply")) from None
    except OmegaConfBaseException as error:
        path = next(p for p, _ in wanted if dotted(p) == _config_path(error.full_key)) if error.full_key else ()
        raise source.error(Fault(path, str(error.msg or error).splitlines()[0])) from None
    _check_secrets(source, data)
    return Source(source.name, data, source.places)


def _check_expansion(source: Source) -> None:
    """`${…}` within `${…}` doubles as YAML's aliases do: bounded alike, before anything is resolved."""
    sizes: dict[ValuePath, int] = {}

    def size(path: ValuePath, node: Any) -> int:
        if path not in sizes:
            sizes[path] = 0  # met again: a circle, which OmegaConf tells
            if isinstance(node, (dict, list)):
                sizes[path] = sum(size((*path, key), below) for key, below in _items(node))
            elif isinstance(node, str):
                sizes[path] = len(node) + sum(size(*target) for target in _targets(node, path, source.data))
            sizes[path] += 1
        return sizes[path]

    plain = sum(len(text) + 1 for _, text in _texts(source.data))
    if size((), source.data) > MAX_EXPANSION * max(plain, 1000):
        raise source.error(Fault((), f"its interpolations expand to more than {MAX_EXPANSION} times the file"))


def _items(node: Any) -> Iterable[tuple[str | int, Any]]:
    return node.items() if isinstance(node, dict) else enumerate(node)


def _targets(text: str, path: ValuePath, data: Any) -> Iterator[tuple[ValuePath, Any]]:
    """The values that a text's innermost `${…}` may stand for, resolvers' arguments included."""
    for body in _REFERENCE.findall(text):
        for name in re.split("[:,]", body):
            name = name.strip(" '\"")
            dots = len(name) - len(name.lstrip("."))
            target: ValuePath = path[:-dots] if dots else ()
            keys = [*target, *(key for key in re.split(r"[.\[\]]+", name) if key)]
            node, found = data, target[:0]
            for key in keys:
                if isinstance(node, list) and str(key).isdecimal() and int(key) < len(node):
                    key = int(key)
                elif not (isinstance(node, dict) and key in node):
                    break
                node, found = node[key], (*found, key)
            else:
                if keys:
                    yield found, node


def _check_secrets(source: Source, data: Any) -> None:
    """However a secret was named, its value must not be in what the run keeps."""
    secrets = [(n, v) for n, v in os.environ.items() if _SECRET_NAME.search(n) and len(v) >= SECRET_LENGTH]
    for path, text in _texts(data):
        for name, value in secrets:
            if value in text:
                raise source.error(_secret_fault(path, name))


def _secret_fault(path: ValuePath, name: str) -> Fault:
    return Fault(path, f"would write the secret {name} into the run; read it from the environment instead")


def _config_path(full_key: str) -> str:
    return re.sub(r"\[(\w+)\]", r".\1", full_key).lstrip(".")


def _texts(node: Any, path: ValuePath = ()) -> Iterator[tuple[ValuePath, str]]:
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _texts(value, (*path, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _texts(value, (*path, index))
