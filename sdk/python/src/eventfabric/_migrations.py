"""Migrations as files of the plugin."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_NAME = re.compile(r"(\d+)_(\w+)\.sql", re.ASCII)


class Migration(NamedTuple):
    """A step in the making of the plugin's tables."""

    number: int
    name: str
    sql: str


def read_migrations(folder: Path) -> list[Migration]:
    """The steps in a folder. `001_create_carriers.sql` is step 1, `create carriers`."""
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder} with migrations")
    steps = []
    for file in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(file.name)
        if match is None or int(match[1]) == 0:
            raise ValueError(
                f"{file}: a migration's file is named by number and purpose, such as "
                "001_create_accounts.sql"
            )
        sql = file.read_text(encoding="utf-8")
        steps.append(Migration(int(match[1]), match[2].replace("_", " "), sql))
    steps.sort()
    for place, step in enumerate(steps, 1):
        if step.number != place:
            raise ValueError(f"{folder}: migrations are numbered 1, 2, 3, …; {place} is not there")
    return steps
