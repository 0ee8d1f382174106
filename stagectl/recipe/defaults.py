"""`defaults:`: a recipe composed of configuration files, by Hydra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from stagectl.errors import Fault
from stagectl.recipe.source import Source, read_bounded


def composed(source: Source, path: Path) -> Source:
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    path = path.resolve()
    if not isinstance(source.data["defaults"], list):
        raise source.error(Fault(("defaults",), "expected a list of configuration files' names"))
    if path.suffix != ".yaml":
        raise source.error(Fault(("defaults",), "hydra composes files that end in .yaml alone; rename this one"))
    hydra_settings = source.data.get("hydra")
    if hydra_settings is not None and (not isinstance(hydra_settings, dict) or "searchpath" in hydra_settings):
        raise source.error(Fault(("hydra",), "a search path may import packages, and a recipe is data; leave it out"))
    root = _config_root(source, path)
    _check_bounds(source.data["defaults"], path.parent, root, set())
    name = path.relative_to(root).with_suffix("").as_posix()
    try:
        with initialize_config_dir(version_base=None, config_dir=str(root)):
            config = compose(config_name=name)
    except (HydraException, OmegaConfBaseException, ValueError, TypeError, yaml.YAMLError) as error:
        raise source.error(Fault(("defaults",), " ".join(str(error).split()))) from None
    data: Any = OmegaConf.to_container(config, resolve=False)
    for part in Path(name).parts[:-1]:  # hydra puts a file of a group under the group's name
        data = data.get(part, data)
    return Source(source.name, data, source.places)


def _config_root(source: Source, path: Path) -> Path:
    """The folder that absolute entries such as `/trainer/trainer` start from: the nearest that has them all."""
    wanted = [entry.split("@")[0].strip() for entry in source.data["defaults"] or [] if isinstance(entry, str)]
    absolute = [entry.removeprefix("/") for entry in wanted if entry.startswith("/")]
    for folder in path.parents:
        if all((folder / f"{entry}.yaml").is_file() for entry in absolute):
            return folder
    missing = next(e for e in absolute if not (path.parent / f"{e}.yaml").is_file())
    message = f"no folder above this file has {missing}.yaml; `defaults:` are looked up from one that has them all"
    raise source.error(Fault(("defaults",), message))


def _check_bounds(defaults: Any, folder: Path, root: Path, seen: set[Path]) -> None:
    """Every file that `defaults:` lead to is bounded as the recipe is, before hydra reads it."""
    for entry in defaults if isinstance(defaults, list) else []:
        for name in [entry] if isinstance(entry, str) else _options(entry):
            name = name.removeprefix("override ").removeprefix("optional ").partition("@")[0].strip()
            file = (root if name.startswith("/") else folder) / f"{name.strip('/')}.yaml"
            if file not in seen and file.is_file():
                seen.add(file)
                data = read_bounded(file)
                if isinstance(data, dict):
                    _check_bounds(data.get("defaults"), file.parent, root, seen)


def _options(entry: Any) -> list[str]:
    """`{group: option}` and `{group: [option, …]}` as the names of their files."""
    names = []
    for group, option in entry.items() if isinstance(entry, dict) else ():
        package_free = str(group).partition("@")[0]
        names += [f"{package_free}/{one}" for one in (option if isinstance(option, list) else [option])]
    return names
