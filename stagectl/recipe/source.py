"""A YAML file read as data: bounded, without duplicate keys, and with the place of every value."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from stagectl.errors import Fault, RecipeError
from stagectl.errors import Path as ValuePath

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_EXPANSION = 10


@dataclass(frozen=True)
class Source:
    """A file's data, and where each value stands by its path in the data: `file:line:column`, both from 1."""

    name: str
    data: dict[str, Any]
    places: dict[ValuePath, str] = field(default_factory=dict)

    def error(self, *faults: Fault) -> RecipeError:
        """A RecipeError with a line for each fault: `file:line:column: path: what is wrong`."""
        return RecipeError("\n".join(f"{self._where(fault.path)}: {fault}" for fault in faults))

    def below(self, key: str) -> Source:
        """The same file read as if its content stood under `key`."""
        return Source(self.name, {key: self.data}, {(key, *path): place for path, place in self.places.items()})

    def _where(self, path: ValuePath) -> str:
        for length in range(len(path), -1, -1):  # a missing value is placed at the block that lacks it
            if path[:length] in self.places:
                return self.places[path[:length]]
        return self.name


def read_source(path: Path) -> Source:
    """Read a YAML file whose top level is a mapping.

    Raises:
        RecipeError: It cannot be read or is not YAML; too large, too deep, or its aliases expand too far; a key
            is there twice or is no text. With line and column.
    """
    return parse_source(_text(path), str(path))


def parse_source(text: str, name: str) -> Source:
    """Read YAML text; `name` stands for the file in messages."""
    try:
        root = _bounded(text, name)
        places: dict[ValuePath, str] = {}
        data = _build(root, (), places, name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = _place(name, mark)
        context = f" {error.context}" if error.context else ""
        raise RecipeError(f"{where}: this is not YAML: {error.problem or 'unreadable'}{context}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{name}: this is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        found = "is empty" if data is None else "is not a mapping at its top level"
        raise RecipeError(f"{name}: a recipe {found}; it needs at least `curriculum:` with its stages")
    return Source(name, data, places)


def write_source(data: dict[str, Any]) -> str:
    """The data as YAML text which `parse_source` reads back as it was."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def read_bounded(path: Path) -> Any:
    """What a YAML file of somebody else's says, within the same bounds. Raises RecipeError."""
    text = _text(path)
    try:
        _bounded(text, str(path))
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, LookupError) as error:
        raise RecipeError(f"{path}: this is not YAML: {' '.join(str(error).split())}") from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise RecipeError(f"{path}: this is a folder; name the recipe's YAML file in it") from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise RecipeError(f"{path}: larger than 1 MiB, which no recipe is")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 text (byte {error.start})") from None


class _Loader(yaml.SafeLoader):
    """The safe loader, with YAML 1.2's floats (`1e6` and `3e-4` are numbers) and dates left as text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    """Quotes text that `_Loader` would take for a number."""


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"),
        list("-+.0123456789"),
    )
_MERGE = "tag:yaml.org,2002:merge"
_SCALARS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null"))
_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


def _bounded(text: str, name: str) -> yaml.Node | None:
    """The root node, after one pass over the events that bounds depth and the expansion of aliases."""
    depth = expanded = 0
    open_anchors: list[tuple[str | None, int]] = []
    sizes: dict[str, int] = {}
    for events, event in enumerate(yaml.parse(text, Loader=_Loader), start=1):
        where = _place(name, event.start_mark)
        expanded += 1
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_anchors):
                raise RecipeError(f"{where}: the alias *{event.anchor} stands within what it names")
            expanded += sizes.get(str(event.anchor), 0)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            open_anchors.append((event.anchor, expanded))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            anchor, start = open_anchors.pop()
            if anchor is not None:
                sizes[anchor] = expanded - start
        if depth > MAX_DEPTH:
            raise RecipeError(f"{where}: nested more than {MAX_DEPTH} levels deep")
        if expanded > MAX_EXPANSION * max(events, 100):
            raise RecipeError(f"{where}: its aliases expand to more than {MAX_EXPANSION} times the file")
    return yaml.compose(text, Loader=_Loader)


def _build(node: yaml.Node | None, path: ValuePath, places: dict[ValuePath, str], name: str) -> Any:
    if node is None:
        return None
    where = _place(name, node.start_mark)
    places.setdefault(path, where)
    if node.tag not in (_SCALARS if isinstance(node, yaml.ScalarNode) else _PLAIN):
        raise RecipeError(f"{where}: the tag {node.tag} is refused; a recipe is data")
    if isinstance(node, yaml.MappingNode):
        return _build_mapping(node, path, places, name)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, index), places, name) for index, item in enumerate(node.value)]
    return _scalar(node)


def _build_mapping(node: yaml.MappingNode, path: ValuePath, places: dict[ValuePath, str], name: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key_node, value_node in node.value:
        where = _place(name, key_node.start_mark)
        if key_node.tag == _MERGE:
            below = _build(value_node, path, places, name)
            for part in below if isinstance(below, list) else [below]:
                if not isinstance(part, dict):
                    raise RecipeError(f"{where}: `<<` merges mappings, and this is none")
                merged = {**part, **merged}
            continue
        key = _scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            raise RecipeError(f"{where}: a key must be text; put it in quotes")
        if key in result:
            raise RecipeError(f"{where}: the key '{key}' is there twice")
        places[*path, key] = where
        result[key] = _build(value_node, (*path, key), places, name)
    return {**merged, **result}


def _place(name: str, mark: Any) -> str:
    return f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name


def _scalar(node: yaml.Node) -> Any:
    try:
        return _Loader("").construct_object(node)
    except (ValueError, KeyError, IndexError) as error:  # `!!bool maybe`, `!!int ''`
        raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None
