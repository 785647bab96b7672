#!/usr/bin/env python3
"""Remakes tests/fixtures/: tiny random models written by transformers, with their golden outputs.

    python tools/make_fixtures.py                  # all of them
    python tools/make_fixtures.py glm4_moe_base    # some of them
    python tools/make_fixtures.py --list
"""

from fixtures.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
