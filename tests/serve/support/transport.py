"""transport_server, and what its endpoints tell."""

import os
import time

BINARY = os.environ["TRANSPORT_SERVER"]


def closed_count(server):
    return int(server.ask("GET", "/v1/closed").body)


def wait_for_closed(server, count, seconds=5):
    end = time.monotonic() + seconds
    while closed_count(server) < count:
        assert time.monotonic() < end, f"{closed_count(server)} of {count} were told; log:\n{server.log()}"
        time.sleep(0.02)
