"""What a CGI program is told: its environment (RFC 3875 §4.1)."""

import json
import os
import sys

sys.stdin.buffer.read(int(os.environ.get("CONTENT_LENGTH") or 0))
told = {
    "method": os.environ["REQUEST_METHOD"],
    "path": os.environ.get("SCRIPT_NAME", "") + os.environ.get("PATH_INFO", ""),
    "host": os.environ.get("HTTP_HOST", ""),
    "client": os.environ["REMOTE_ADDR"],
    "seen": dict(os.environ),
    "cookies": {},
}
print("content-type: application/json\n\n" + json.dumps(told))  # noqa: T201 - CGI's answer
