"""The official release archive of the lakeFS server: fetched, verified against the release's checksums, unpacked."""

from __future__ import annotations

import errno
import hashlib
import platform
import re
import shutil
import tarfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import httpx

from dartifact.domain.errors import ServerUnavailable
from dartifact.domain.progress import Progress

RELEASES = "https://github.com/treeverse/lakeFS/releases/download/v{version}"
"""Where the archives and `checksums.txt` of a version are, unless the settings name a mirror."""

_CHECKSUMS = "checksums.txt"
_CHECKSUMS_AT_MOST = 1_000_000
_PROGRAM = "lakefs"
_PROGRAM_AT_MOST = 1_000_000_000
_CHUNK = 1 << 16
_MEGA = 1_000_000
_SYSTEMS = {"linux": "Linux", "darwin": "Darwin"}
_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}
# Without a network the next way is to be taken within seconds; a server that falls silent is given up, too.
_CONNECT_SECONDS, _SILENCE_SECONDS, _LONGEST_SECONDS = 4.0, 15.0, 900.0
_REPORT_SECONDS = 5.0


def fetch_lakefs(version: str, folder: Path, progress: Progress, *, base_url: str | None = None) -> Path:
    """Fetch the release archive of this platform into an empty folder and return the program, not yet proven to run.

    `base_url` is a folder that holds the archive and `checksums.txt`, by default that of the official release. Nothing
    is tried twice. ServerUnavailable says in its message why there is no program; the folder is the caller's to remove.
    """
    wanted = archive_name(version, platform.system(), platform.machine())
    base = (base_url or RELEASES.format(version=version)).rstrip("/")
    archive = folder / "archive.tar.gz"
    with _connection(base) as client:
        name, checksum = _find_checksum(_read_checksums(client, f"{base}/{_CHECKSUMS}"), wanted)
        found = _download(client, f"{base}/{name}", archive, progress)
    if found != checksum:
        archive.unlink()
        raise ServerUnavailable(f"{name} has not the checksum that {_CHECKSUMS} names: refused")
    try:
        return _unpack(archive, folder)
    except OSError as error:
        raise _no_room(error, folder) from error


def archive_name(version: str, system: str, machine: str) -> str:
    """Return the name of the archive for a platform as `platform` names it; ServerUnavailable if there is none."""
    known = _SYSTEMS.get(system.lower()), _MACHINES.get(machine.lower())
    if None in known:
        raise ServerUnavailable(f"there is none for {system} on {machine}")
    return f"lakeFS_{version}_{known[0]}_{known[1]}.tar.gz"


@contextmanager
def _connection(base: str) -> Iterator[httpx.Client]:
    """Yield a client that honours the proxy variables; what goes wrong in the block becomes ServerUnavailable."""
    shown = _without_secrets(base)
    timeout = httpx.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS)
    try:
        with httpx.Client(follow_redirects=True, timeout=timeout) as client:
            yield client
    except httpx.TimeoutException as error:
        what = "cannot be reached" if isinstance(error, httpx.ConnectTimeout) else "has stopped answering"
        raise ServerUnavailable(f"{shown} {what}") from error
    except httpx.RemoteProtocolError as error:
        raise ServerUnavailable(f"{shown} has cut the download short") from error
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise ServerUnavailable(f"{shown} cannot be reached ({_without_secrets(reason)})") from error
    except (httpx.InvalidURL, ValueError, ImportError) as error:
        # Both come from the variables of a proxy, too: an address that is none, SOCKS without its library.
        raise ServerUnavailable(
            f"{shown} or the proxy for it cannot be used ({_without_secrets(str(error))})"
        ) from error


@contextmanager
def _opened(client: httpx.Client, url: str) -> Iterator[httpx.Response]:
    with client.stream("GET", url) as response:
        hops = [*response.history, response]
        if url.startswith("https:") and any(hop.url.scheme != "https" for hop in hops):
            raise ServerUnavailable(f"{_without_secrets(url)} is redirected to an unprotected address: refused")
        if response.status_code != httpx.codes.OK:
            raise ServerUnavailable(f"{_without_secrets(url)} answers {response.status_code}")
        yield response


def _read_checksums(client: httpx.Client, url: str) -> str:
    content = b""
    with _opened(client, url) as response:
        for chunk in response.iter_bytes(_CHUNK):
            content += chunk
            if len(content) > _CHECKSUMS_AT_MOST:
                raise ServerUnavailable(f"{_without_secrets(url)} is no list of checksums")
    return content.decode("utf-8", "replace")


def _find_checksum(listed: str, wanted: str) -> tuple[str, str]:
    """Return the archive's name as the release writes it, and its SHA-256."""
    lines = re.findall(r"^([0-9a-fA-F]{64})[ \t]+\*?(\S+)\s*$", listed, re.MULTILINE)
    found = {(name, checksum.lower()) for checksum, name in lines if name.lower() == wanted.lower()}
    if len(found) != 1:
        count = "no checksum" if not found else "several checksums"
        raise ServerUnavailable(f"{_CHECKSUMS} has {count} for {wanted}: refused")
    return found.pop()


def _download(client: httpx.Client, url: str, archive: Path, progress: Progress) -> str:
    """Write what a URL answers into a file and return its SHA-256; say how far it is every five seconds."""
    digest, size, started = hashlib.sha256(), 0, time.monotonic()
    told = started
    with _opened(client, url) as response:
        whole = int(response.headers.get("content-length") or 0)
        of = f" of {whole / _MEGA:.0f}" if whole else ""
        progress(f"downloading {_without_secrets(url)}" + (f", {whole / _MEGA:.0f} MB" if whole else ""))
        try:
            with archive.open("wb") as file:
                # Raw: the checksum is that of the bytes as they are served.
                for chunk in response.iter_raw(_CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
                    now = time.monotonic()
                    if now - started > _LONGEST_SECONDS:
                        raise ServerUnavailable(f"the download is too slow: {size / _MEGA:.0f}{of} MB came in time")
                    if now - told >= _REPORT_SECONDS:
                        told = now
                        progress(f"downloading lakeFS: {size / _MEGA:.0f}{of} MB, {now - started:.0f} s")
        except OSError as error:
            raise _no_room(error, archive) from error
    progress(f"downloaded lakeFS: {size / _MEGA:.0f} MB in {time.monotonic() - started:.0f} s")
    return digest.hexdigest()


def _unpack(archive: Path, folder: Path) -> Path:
    """Take the program, and nothing else, out of the archive; an archive that reaches outside is refused whole."""
    program, unpacked, found = folder / _PROGRAM, folder / "unpacked", False
    try:
        with tarfile.open(archive, "r:gz") as content:
            for member in content:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise ServerUnavailable(f"the archive reaches outside its folder ({member.name!r}): refused")
                if path != PurePosixPath(_PROGRAM) or found:
                    continue
                if not member.isreg() or member.size > _PROGRAM_AT_MOST:
                    raise ServerUnavailable(f"{_PROGRAM} in the archive is no ordinary program: refused")
                source = content.extractfile(member)
                assert source is not None  # it is a regular file
                with source, unpacked.open("xb") as file:
                    shutil.copyfileobj(source, file)
                found = True
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ServerUnavailable(f"the archive cannot be read ({error})") from error
    if not found:
        raise ServerUnavailable(f"the archive holds no {_PROGRAM}")
    unpacked.chmod(0o755)
    archive.unlink()
    return unpacked.replace(program)


def _no_room(error: OSError, path: Path) -> ServerUnavailable:
    reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)
    return ServerUnavailable(f"{error.filename or path}: {reason}")


def _without_secrets(text: str) -> str:
    """Return a text without the passwords that URLs in it may carry."""
    return re.sub(r"(://)[^/@\s]*@", r"\1", text)
