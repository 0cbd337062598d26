"""The messages and service stubs, generated from Protos/ when they are missing
or older than what they are made from."""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
PROTOS = REPOSITORY / "Protos"
# In a directory of its own for programs of another processor (Tests/arm64).
BUILD = Path(os.environ.get("EXEC2_CONFORMANCE_BUILD", REPOSITORY / ".build" / "conformance"))
NAMES = [
    "attribute", "base", "base_service", "driver", "driver_service", "executor", "goplugin",
    "goplugin_service", "hclspec", "health", "health_service", "recoverable", "status",
]


def _generate() -> Path:
    from importlib.metadata import version

    digest = hashlib.sha256(version("grpcio-tools").encode())
    for name in NAMES:
        digest.update((PROTOS / f"{name}.proto").read_bytes())
    directory = BUILD / f"stubs-{digest.hexdigest()[:16]}"
    if directory.is_dir():
        return directory

    import grpc_tools
    from grpc_tools import protoc

    BUILD.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=BUILD))
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    status = protoc.main([
        "protoc", f"-I{PROTOS}", f"-I{well_known}", f"--python_out={fresh}", f"--grpc_python_out={fresh}",
        *(str(PROTOS / f"{name}.proto") for name in NAMES),
    ])
    if status != 0:
        raise RuntimeError(f"protoc ended with {status} on {PROTOS}")
    try:
        os.rename(fresh, directory)
    except OSError:  # another session has made it
        shutil.rmtree(fresh)
    return directory


sys.path.insert(0, str(_generate()))

attribute = importlib.import_module("attribute_pb2")
base = importlib.import_module("base_pb2")
driver = importlib.import_module("driver_pb2")
executor = importlib.import_module("executor_pb2")
goplugin = importlib.import_module("goplugin_pb2")
hclspec = importlib.import_module("hclspec_pb2")
health = importlib.import_module("health_pb2")
recoverable = importlib.import_module("recoverable_pb2")
status = importlib.import_module("status_pb2")
base_service = importlib.import_module("base_service_pb2_grpc")
driver_service = importlib.import_module("driver_service_pb2_grpc")
goplugin_service = importlib.import_module("goplugin_service_pb2_grpc")
health_service = importlib.import_module("health_service_pb2_grpc")
