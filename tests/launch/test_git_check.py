"""What of the user's code others could not fetch is found before a launch; the commit is known."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from stagectl.errors import UsageError
from stagectl.launch.git import at_ref, check_code, check_out, find_code


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, "-C", folder, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository that is pushed, with a recipe in a folder of it."""
    folder, remote = tmp_path / "code", tmp_path / "remote.git"
    (folder / "recipes").mkdir(parents=True)
    (folder / "train.py").write_text("first\n")
    (folder / "recipes" / "r.yaml").write_text("{}\n")
    git(tmp_path, "init", "--bare", str(remote))
    git(folder, "init", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "the first")
    git(folder, "remote", "add", "origin", str(remote))
    git(folder, "push", "-u", "origin", "main")
    return folder


def test_the_code_is_the_repository_around_the_recipe(repository: Path) -> None:
    code = find_code(repository / "recipes")
    assert code.folder == repository
    assert code.inside == Path("recipes")
    assert code.commit is not None
    assert len(code.commit) == 40
    assert not code.dirty
    check_code(code)


def test_a_folder_outside_any_repository_is_the_code_itself(tmp_path: Path) -> None:
    code = find_code(tmp_path)
    assert (code.folder, code.commit) == (tmp_path, None)
    check_code(code)


def test_changes_stop_the_launch_with_the_list(repository: Path) -> None:
    (repository / "train.py").write_text("second\n")
    (repository / "new.py").write_text("")
    code = find_code(repository)
    assert code.dirty
    with pytest.raises(UsageError) as refused:
        check_code(code)
    assert "not committed:\n   M train.py\n  ?? new.py\n" in str(refused.value)
    assert "--skip-git-check" in str(refused.value)


def test_commits_that_nobody_else_has_stop_the_launch_with_the_list(repository: Path) -> None:
    git(repository, "commit", "--allow-empty", "-m", "mine alone")
    with pytest.raises(UsageError, match=r"not pushed:\n  [0-9a-f]+ mine alone"):
        check_code(find_code(repository))


def test_a_ref_travels_as_it_was_committed(repository: Path, tmp_path: Path) -> None:
    first = find_code(repository).commit
    git(repository, "tag", "first")
    (repository / "train.py").write_text("second\n")
    git(repository, "commit", "-am", "the second")
    folder = tmp_path / "out"
    folder.mkdir()
    code = check_out(at_ref(find_code(repository), "first"), folder)
    assert (folder / "train.py").read_text() == "first\n"
    assert code.commit == first


def test_a_ref_that_is_not_there_is_said(repository: Path) -> None:
    with pytest.raises(UsageError, match=r"--git-ref nowhere: .* has no such commit"):
        at_ref(find_code(repository), "nowhere")
