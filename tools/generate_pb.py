"""Generates sidecar/pb from proto/. Usage: generate_pb.py [OUTPUT_DIR]."""

import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parent.parent


def generate(into: Path) -> None:
    """Run protoc over every file of proto/, writing modules and type stubs to ``into``."""
    protos = sorted(path.name for path in (ROOT / "proto").glob("*.proto"))
    arguments = [
        "protoc",
        f"--proto_path={ROOT / 'proto'}",
        f"--proto_path={files('grpc_tools') / '_proto'}",
        f"--python_out={into}",
        f"--pyi_out={into}",
        *protos,
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed; its message stands above")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "sidecar" / "pb")
