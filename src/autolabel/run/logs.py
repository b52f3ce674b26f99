"""What workers log: a file a worker in the results directory."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

LOGS = "logs"
FORM = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def keep_log(results_dir: Path) -> Path:
    """Write what this worker process logs to ``logs/HOST-PID.log``, warnings to stderr as well; return the file."""
    path = results_dir / LOGS / f"{socket.gethostname()}-{os.getpid()}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    file, terminal = logging.FileHandler(path, encoding="utf-8"), logging.StreamHandler()
    terminal.setLevel(logging.WARNING)
    file.setFormatter(logging.Formatter(FORM))
    for handler in (file, terminal):
        logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("autolabel").setLevel(logging.DEBUG)
    return path
