import os
import sys

import anthropic
import openai
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from support.server import Server  # noqa: E402

MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "models", "demo")
KEY = "test-key"


@pytest.fixture(scope="session")
def server():
    with Server(os.environ["GLIMMER"], "-m", MODEL, "-q", command=["serve"], env={"GLIMMER_API_KEY": KEY}) as running:
        yield running


@pytest.fixture(scope="session")
def openai_client(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0)


@pytest.fixture(scope="session")
def anthropic_client(server):
    return anthropic.Anthropic(base_url=server.url, api_key=KEY, max_retries=0)
