"""The commit that a launch stands on, and what of it others could not see."""

from __future__ import annotations

import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from stagectl.errors import UsageError

LISTED = 10


@dataclass(frozen=True, slots=True)
class Code:
    """The user's code: the folder that travels, the recipe's place in it, and its commit where git has it."""

    folder: Path
    inside: Path
    commit: str | None = None
    dirty: bool = False


def find_code(folder: Path) -> Code:
    """The repository around a folder, else the folder itself."""
    root = _git(folder, "rev-parse", "--show-toplevel")
    if not root:
        return Code(folder, Path())
    top = Path(root)
    commit = _git(top, "rev-parse", "--verify", "--quiet", "HEAD")
    return Code(top, folder.resolve().relative_to(top.resolve()), commit or None, bool(_changes(top)))


def check_code(code: Code) -> None:
    """Stop where a run could not be repeated from what others can fetch.

    Raises:
        UsageError: Changes that are not committed, or commits that are not pushed; it lists them.
    """
    if code.commit is None:
        return
    hint = "commit and push them, or go without the check: --skip-git-check"
    if changes := _changes(code.folder):
        raise UsageError(f"{code.folder} has changes that are not committed:{_listed(changes)}", hint=hint)
    if _git(code.folder, "remote"):
        unpushed = _git(code.folder, "log", "--oneline", "HEAD", "--not", "--remotes").splitlines()
        if unpushed:
            raise UsageError(f"{code.folder} has commits that are not pushed:{_listed(unpushed)}", hint=hint)


def at_ref(code: Code, ref: str) -> Code:
    """The code as of a commit, branch or tag, once `check_out` has unpacked it.

    Raises:
        UsageError: There is no such commit here.
    """
    commit = _git(code.folder, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    if not commit:
        raise UsageError(f"--git-ref {ref}: {code.folder} has no such commit", hint="git fetch may bring it")
    return Code(code.folder, code.inside, commit)


def check_out(code: Code, folder: Path) -> Code:
    """The code of its commit alone, unpacked into a folder."""
    command = ["git", "-C", str(code.folder), "archive", str(code.commit)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as archive,
        tarfile.open(fileobj=archive.stdout, mode="r|") as tar,
    ):
        tar.extractall(folder, filter="data")
    return Code(folder, code.inside, code.commit)


def _changes(folder: Path) -> list[str]:
    return _git(folder, "status", "--porcelain", strip=False).splitlines()


def _listed(lines: list[str]) -> str:
    more = [f"and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
    return "".join(f"\n  {line}" for line in (*lines[:LISTED], *more)) + "\n"


def _git(folder: Path, *arguments: str, strip: bool = True) -> str:
    """What git prints; nothing where it fails or is not installed."""
    try:
        done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    text = done.stdout if done.returncode == 0 else ""
    return text.strip() if strip else text
