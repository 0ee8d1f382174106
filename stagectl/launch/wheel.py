"""A wheel of the stagectl that runs: what travels with a task, so that laptop and cluster never differ.

It is made of the installed files, not of a checkout: nothing has to be published, and no build tool installed. The
version carries a digest of the files (`0.1.0+3f2a9c41b0d2`), so that pip sees that it is another one.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from importlib import metadata
from pathlib import Path

import stagectl

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same files make the same wheel, to the byte


def build_wheel(folder: Path) -> Path:
    """Write the wheel into a folder, which must be there; the wheel's path."""
    installed = metadata.distribution("stagectl")
    package = Path(stagectl.__file__).parent
    files = {
        f"stagectl/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    digest = hashlib.sha256(b"".join(name.encode() + b"\0" + data for name, data in files.items())).hexdigest()[:12]
    version = f"{stagectl.__version__}+{digest}"
    info = f"stagectl-{version}.dist-info"
    files[f"{info}/METADATA"] = _metadata(installed, version)
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: stagectl\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = b"[console_scripts]\nstagectl = stagectl.cli:main\n"
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = folder / f"stagectl-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
    return wheel


def _metadata(installed: metadata.Distribution, version: str) -> bytes:
    said = installed.read_text("METADATA") or ""
    return re.sub(r"^Version: .*$", f"Version: {version}", said, count=1, flags=re.MULTILINE).encode()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
