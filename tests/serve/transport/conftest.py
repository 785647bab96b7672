import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from support.server import Server  # noqa: E402
from support.transport import BINARY  # noqa: E402


@pytest.fixture(scope="module")
def server():
    with Server(BINARY) as running:
        yield running


@pytest.fixture(scope="module")
def strict():
    """With short times and small bounds."""
    with Server(BINARY, "--read-timeout", "0.5", "--idle-timeout", "0.7", "--write-timeout", "0.6", "--heartbeat", "0.2",
                "--max-header", "2048", "--max-body", "10000", "--stream-buffer", "16384", "--max-connections",
                "40") as running:
        yield running
