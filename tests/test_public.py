from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import stagectl
from stagectl import curriculum, errors, session

ROOT = Path(__file__).parents[1]


def test_the_public_names_are_these_and_each_is_there() -> None:
    assert sorted(stagectl.__all__) == sorted(["attach", "StagedProgressiveCurriculum", "StagectlError", "__version__"])
    assert stagectl.attach is session.attach
    assert stagectl.StagedProgressiveCurriculum is curriculum.StagedProgressiveCurriculum
    assert stagectl.StagectlError is errors.StagectlError


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'stagectl' has no attribute 'atach'"):
        stagectl.atach  # noqa: B018


def test_importing_the_package_imports_none_of_its_rooms() -> None:
    probe = "import sys, stagectl; print([name for name in sys.modules if name.startswith('stagectl.')])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_version_is_the_installed_one_and_the_changelogs_newest() -> None:
    assert version("stagectl") == stagectl.__version__
    newest = re.search(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest.group(1) == stagectl.__version__


def test_every_error_of_ours_is_one_family_with_an_exit_code() -> None:
    own = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert len(own) >= 10
    for error in own:
        assert issubclass(error, stagectl.StagectlError)
        assert 1 <= error.exit_code <= 8


def test_an_error_says_its_hint_in_the_same_line() -> None:
    assert str(errors.UsageError("this is wrong", hint="do that")) == "this is wrong (do that)"
    assert str(errors.UsageError("this is wrong")) == "this is wrong"


@pytest.mark.parametrize(
    ("name", "said"),
    [("navigaton", "did you mean 'navigation'?"), ("zzz", "known: navigation, sequence"), ("", "known: ")],
)
def test_the_nearest_known_name_is_named(name: str, said: str) -> None:
    assert errors.nearest(name, ["sequence", "navigation"]).startswith(said)
