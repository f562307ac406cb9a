"""What is said of versions in several places is the same everywhere."""

import re

import pytest
import yaml
from clients import ROOT

import mnist_idx

PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
HOOKS = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


@pytest.mark.parametrize("tool", ["ruff", "mypy"])
def test_hooks_have_the_versions_of_the_project(tool: str) -> None:
    pinned = set(re.findall(rf'"{tool}==([0-9.]+)"', PROJECT))
    assert len(pinned) == 1
    assert set(re.findall(rf"\b{tool}==([0-9.]+)", HOOKS)) == pinned


def test_the_versions_of_python_that_are_promised_are_tested() -> None:
    promised = re.findall(r'"Programming Language :: Python :: (3\.[0-9]+)"', PROJECT)
    workflow = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == promised
    assert f'requires-python = ">={promised[0]}"' in PROJECT
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"Python {promised[0]} to {promised[-1]}" in readme


def test_the_changelog_begins_with_the_version() -> None:
    changelog = (ROOT / ".github" / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (.*)$", changelog, re.MULTILINE)
    assert versions[0] == mnist_idx.__version__
