"""ClickHouse's engine in a process of its own: it reads requests and writes answers, JSON a line.

Run by the interpreter of an environment that has ``chdb``: ``clickhouse_engine.py FOLDER``, where
the folder may have ``?config-file=…`` behind it. A request is a query, or an object of ``query``,
``params`` (of ``{name:Type}``) and ``bytes`` (an answer in base64, of the query's own format).
"""

import base64
import json
import sys

from chdb import session  # type: ignore[import-not-found, unused-ignore]


def main() -> None:
    """Answer queries until the input ends."""
    engine = session.Session(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        if isinstance(request, str):
            request = {"query": request}
        try:
            result = engine.query(request["query"], "TSV", params=request.get("params") or None)
            if request.get("bytes"):
                answer = {"bytes": base64.b64encode(result.bytes()).decode()}
            else:
                answer = {"text": str(result)}
        except Exception as exc:  # noqa: BLE001 - whatever the engine raises is its answer
            answer = {"error": str(exc)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
