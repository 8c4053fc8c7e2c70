"""Time and peak memory of a command: `python -m cleanplate.research.benchmarks.usage COMMAND…`.

Prints JSON. A small process in between, because Linux counts the peak memory of the process that
starts a command as the command's own; so this module imports the standard library only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def main() -> int:
    """Run the command, discard its output, and exit with its status."""
    began = time.monotonic()
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    unit = 1 if sys.platform == "darwin" else 1024
    processor = usage.ru_utime + usage.ru_stime
    print(json.dumps({"wall": wall, "processor": processor, "memory": usage.ru_maxrss * unit}))
    process.returncode = os.waitstatus_to_exitcode(status)
    return abs(process.returncode)


if __name__ == "__main__":
    sys.exit(main())
