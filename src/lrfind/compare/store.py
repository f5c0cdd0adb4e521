"""What is finished survives: a JSON file per run, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from lrfind.codec import read_json, write_json
from lrfind.compare.arms import rates
from lrfind.compare.runs import Arm, Run
from lrfind.errors import BadInputError
from lrfind.optim import CLOSE, differing
from lrfind.records import Finding

SCHEMA = "lrfind/runs/2"
FOLDER = "runs"


class Store:
    """The finished runs and findings of one comparison, in memory and, where there is a folder, on disk.

    Args:
        out: The folder of the comparison; None keeps nothing on disk.
        plans: What must be the same for runs to be those of one comparison, as plain data, by the name of its file;
            arms and seeds are no part of it, and each target has its own file, so that more can be added.
    """

    def __init__(self, out: Path | None, plans: Mapping[str, Mapping[str, Any]]) -> None:
        self._folder = None if out is None else out / FOLDER
        self._runs: dict[tuple[str, int], Run] = {}
        self._findings: dict[str, Finding] = {}
        if self._folder is not None:
            for name, plan in plans.items():
                _check_same(self._folder, name, json.loads(json.dumps({"schema": SCHEMA, **plan})))
            self._read(self._folder)

    def run(self, arm: Arm, seed: int) -> Run | None:
        """Return a finished run at the rates that the arm has now, or None."""
        run = self._runs.get((arm.name, seed))
        return None if run is None or rate_mismatch(run, arm) else run

    def findings(self, variant: str) -> dict[str, Finding]:
        """Return the finished searches of a variant, by schedule."""
        named = ((name.partition(" "), finding) for name, finding in self._findings.items())
        return {schedule: finding for (schedule, _, of), finding in named if of == variant}

    def keep_run(self, run: Run) -> None:
        """Keep a run."""
        self._runs[run.arm, run.seed] = run
        if self._folder is not None:
            write_json(self._folder / f"run-{quote(run.arm, safe='')}-seed-{run.seed}.json", run.to_dict())

    def keep_finding(self, name: str, finding: Finding) -> None:
        """Keep what a search found; it is named by its schedule and, after a space, its variant."""
        self._findings[name] = finding
        if self._folder is not None:
            finding.save(self._folder / f"finding-{quote(name, safe='')}.json")

    def _read(self, folder: Path) -> None:
        for path in sorted(folder.glob("run-*.json")):
            run = Run.load(path)
            self._runs[run.arm, run.seed] = run
        for path in sorted(folder.glob("finding-*.json")):
            self._findings[unquote(path.stem).removeprefix("finding-")] = Finding.load(path)


def _check_same(folder: Path, name: str, plan: dict[str, Any]) -> None:
    """Check that the folder holds nothing of another plan; keep one that is new."""
    file = folder / f"{quote(name, safe='')}.json"
    if not file.exists():
        write_json(file, plan)
        return
    kept = read_json(file, "the plan of a comparison")
    if kept.get("schema") != SCHEMA:
        raise BadInputError(f"{folder.parent} was kept by another version of lrfind; choose another folder.")
    if change := _first_change(kept, plan, "" if name == "plan" else name):
        what, was, now = change
        raise BadInputError(
            f"{folder.parent} holds the runs of another comparison: its {what} is {_short(was)}, not {_short(now)}; "
            f"choose another folder, or delete {folder}."
        )


def rate_mismatch(run: Run, arm: Arm) -> str:
    """Say how the rates that a run applied are not those of an arm; nothing where they are."""
    asked = rates(arm, run.steps)
    (low, high), (least, greatest) = run.lr_applied, (min(asked), max(asked))
    if differing([low, high], [least, greatest], CLOSE) is None:
        return ""
    return f"it trained with rates from {low:.6g} to {high:.6g}, and its arm asks for {least:.6g} to {greatest:.6g}"


def _first_change(was: Any, now: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """Return the first difference of two plans: where it is, what was there and what is."""
    if not (isinstance(was, dict) and isinstance(now, dict)):
        return None if was == now else (name, was, now)
    changes = (_first_change(was.get(key), now.get(key), f"{name}.{key}".strip(".")) for key in sorted({*was, *now}))
    return next((change for change in changes if change is not None), None)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
