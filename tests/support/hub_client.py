"""This process as a client of a Hub on this machine."""

import time
import types

import huggingface_hub
import pytest
from hub_server import HubServer


def log_in(hub: HubServer, monkeypatch: pytest.MonkeyPatch, token: str = "writer") -> None:
    """Point `huggingface_hub` at a Hub, which it does not wait for before it tries again."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", f"hf_{token}")
    impatient = types.SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None})
    monkeypatch.setattr("huggingface_hub.utils._http.time", impatient)
