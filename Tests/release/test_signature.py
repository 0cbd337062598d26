"""The checksums, signed by a key from outside."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

from conftest import REPOSITORY


class Keyring:
    """A directory of gpg's with keys of its own."""

    def __init__(self, path: Path):
        self.path = path
        path.mkdir(mode=0o700)

    def gpg(self, *words: str | Path, status: int = 0) -> str:
        done = subprocess.run(["gpg", "--batch", *map(str, words)], env={**os.environ, "GNUPGHOME": str(self.path)},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == status, f"gpg {words} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def close(self) -> None:
        """Ends the agents that gpg has started for the directory."""
        subprocess.run(["gpgconf", "--kill", "all"], env={**os.environ, "GNUPGHOME": str(self.path)}, check=True)


@pytest.fixture
def keyring(tmp_path: Path) -> Iterator[Keyring]:
    """With a key that is thrown away."""
    # A socket's path must be short.
    made = Keyring(tmp_path / "keys")
    made.gpg("--passphrase", "", "--quick-generate-key", "Release <release@example.org>", "ed25519", "sign", "never")
    yield made
    made.close()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    directory = tmp_path / "files"
    directory.mkdir()
    for name in ("a.tar.xz", "b.deb", "c.rpm", "d.spdx.json"):
        (directory / name).write_text(name)
    return directory


def checksums(directory: Path, key: Path | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "RELEASE_SIGNING_KEY"}
    if key is not None:
        environment["RELEASE_SIGNING_KEY"] = str(key)
    return subprocess.run([".ci/checksums", directory], cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_signature_is_verified_with_the_public_key_alone(files: Path, keyring: Keyring, tmp_path: Path) -> None:
    secret, public = tmp_path / "secret.asc", tmp_path / "public.asc"
    keyring.gpg("--armor", "--output", secret, "--export-secret-keys")
    keyring.gpg("--armor", "--output", public, "--export")
    done = checksums(files, secret)
    assert done.returncode == 0, done.stdout
    fingerprint = keyring.gpg("--with-colons", "--list-keys").split("fpr:::::::::")[1].partition(":")[0]
    assert f"signed by the key {fingerprint}" in done.stdout
    assert len((files / "SHA256SUMS").read_text().splitlines()) == 4

    operator = Keyring(tmp_path / "operator")
    try:
        operator.gpg("--import", public)
        assert "Good signature" in operator.gpg("--verify", files / "SHA256SUMS.asc", files / "SHA256SUMS")
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=files, check=True)
        with (files / "SHA256SUMS").open("a") as sums:
            sums.write("0" * 64 + "  e.deb\n")
        assert "BAD signature" in operator.gpg("--verify", files / "SHA256SUMS.asc", files / "SHA256SUMS", status=1)
    finally:
        operator.close()


def test_without_a_key_nothing_is_signed(files: Path) -> None:
    """And no signature of an earlier release is left."""
    (files / "SHA256SUMS.asc").write_text("old")
    done = checksums(files, None)
    assert (done.returncode, done.stdout) == (0, "")
    assert sorted(path.name for path in files.iterdir() if path.name.startswith("SHA")) == ["SHA256SUMS"]


def test_key_that_cannot_sign_is_named(files: Path, keyring: Keyring, tmp_path: Path) -> None:
    public, missing = tmp_path / "public.asc", tmp_path / "missing.asc"
    keyring.gpg("--armor", "--output", public, "--export")
    for key, reason in ((public, "gpg cannot sign with"), (missing, "cannot read the key")):
        done = checksums(files, key)
        assert done.returncode == 1
        assert f"{reason} {key}" in done.stdout
        assert not (files / "SHA256SUMS.asc").exists()
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(files / "SHA256SUMS", empty)
    assert "has no files to publish" in checksums(empty, None).stdout
