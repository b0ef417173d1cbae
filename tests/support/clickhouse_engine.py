"""ClickHouse's engine in a process of its own: it reads requests and writes answers, JSON a line.

Run by the interpreter of an environment that has ``chdb``: ``clickhouse_engine.py FOLDER``.
"""

import json
import sys

from chdb import session  # type: ignore[import-not-found, unused-ignore]


def main() -> None:
    """Answer queries until the input ends."""
    engine = session.Session(sys.argv[1])
    for line in sys.stdin:
        query = json.loads(line)
        try:
            answer = {"text": str(engine.query(query, "TSV"))}
        except Exception as exc:  # noqa: BLE001 - whatever the engine raises is its answer
            answer = {"error": str(exc)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
