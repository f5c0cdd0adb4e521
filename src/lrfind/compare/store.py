"""Finished runs and findings, a JSON file each, written whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from lrfind.codec import leaves, read_json, write_json
from lrfind.compare.arms import rates
from lrfind.compare.comparison import Arm, Run
from lrfind.errors import BadInputError
from lrfind.optim import CLOSE, differing
from lrfind.records import Finding

SCHEMA = "lrfind/runs/2"


class Store:
    """The finished runs and findings of a comparison, in memory and, unless ``out`` is None, on disk.

    ``plans`` is plain data by the name of its file, which must be the same in every call for a folder. It holds no arms
    and seeds, and each target has a file of its own, so that more can be added.
    """

    def __init__(self, out: str | Path | None, plans: Mapping[str, Mapping[str, Any]]) -> None:
        self._folder = None if out is None else Path(out) / "runs"
        self._runs: dict[tuple[str, int], Run] = {}
        self.findings: dict[str, Finding] = {}  # by "schedule" or "schedule variant"
        if self._folder is not None:
            for name, plan in plans.items():
                _check_same(self._folder, name, json.loads(json.dumps({"schema": SCHEMA, **plan})))
            for path in sorted(self._folder.glob("run-*.json")):
                run = Run.load(path)
                self._runs[run.arm, run.seed] = run
            for path in sorted(self._folder.glob("finding-*.json")):
                self.findings[unquote(path.stem).removeprefix("finding-")] = Finding.load(path)

    def run(self, arm: Arm, seed: int) -> Run | None:
        """Return the finished run, or None, also if it had other rates than the arm now has."""
        run = self._runs.get((arm.name, seed))
        return None if run is None or rate_mismatch(run, arm) else run

    def keep_run(self, run: Run) -> None:
        """Keep a finished run."""
        self._runs[run.arm, run.seed] = run
        if self._folder is not None:
            write_json(self._folder / f"run-{quote(run.arm, safe='')}-seed-{run.seed}.json", run.to_dict())

    def keep_finding(self, name: str, finding: Finding) -> None:
        """Keep a finding."""
        self.findings[name] = finding
        if self._folder is not None:
            finding.save(self._folder / f"finding-{quote(name, safe='')}.json")


def _check_same(folder: Path, name: str, plan: dict[str, Any]) -> None:
    file = folder / f"{quote(name, safe='')}.json"
    if not file.exists():
        write_json(file, plan)
        return
    kept = read_json(file, "the plan of a comparison")
    if kept.get("schema") != SCHEMA:
        raise BadInputError(f"{folder.parent} was kept by another version of lrfind; choose another folder.")
    was, now = (dict(leaves(each, "" if name == "plan" else name)) for each in (kept, plan))
    for place in sorted({*was, *now}):
        if was.get(place) != now.get(place):
            raise BadInputError(
                f"{folder.parent} holds the runs of another comparison: its {place} is {_short(was.get(place))}, not "
                f"{_short(now.get(place))}; choose another folder, or delete {folder}."
            )


def rate_mismatch(run: Run, arm: Arm) -> str:
    """Say how the applied rates of a run differ from those of its arm; empty if they do not."""
    asked = rates(arm, run.steps)
    (low, high), (least, greatest) = run.lr_applied, (min(asked), max(asked))
    if differing([low, high], [least, greatest], CLOSE) is None:
        return ""
    return f"it trained at rates from {low:.6g} to {high:.6g}, and its arm has rates from {least:.6g} to {greatest:.6g}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
