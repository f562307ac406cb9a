"""Print the lowest version of each dependency that pyproject.toml promises, as requirements."""

import re
from pathlib import Path

# `tomllib` is not in Python 3.10.
project = Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8")
dependencies = project.partition("\ndependencies = [\n")[2].partition("\n]\n")[0]
for line in dependencies.splitlines():
    requirement = re.fullmatch(r' +"([^">]+)>=([0-9.]+)", +# .*', line)
    if requirement is None:
        raise ValueError(f"not a dependency with a lowest version: {line}")
    print(f"{requirement[1]}=={requirement[2]}")
