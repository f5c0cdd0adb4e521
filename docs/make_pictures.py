"""Make the pictures of "How it works" from real runs: ``python docs/make_pictures.py`` writes docs/images/how-*.svg.

LeNet on Fashion-MNIST with Adam, from the seed below; set ``LRFIND_DATA`` or have it downloaded. It needs the extras
demo and bench, and takes a minute.
"""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Callable
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import matplotlib as mpl
import numpy as np
import torch
import torch_lr_finder
from matplotlib import pyplot as plt
from PIL import Image

import lrfind
import lrfind.lightning
from lrfind.curves import START, to_curve
from lrfind.demo.data import load
from lrfind.demo.experiment import LeNet
from lrfind.schedules import constant, linear, remaining
from lrfind.suggest.calibrated import calibrated, prior_rate, prior_weight
from lrfind.suggest.edges import edge
from lrfind.suggest.ranges import cyclical_range
from lrfind.suggest.training import Training

IMAGES = Path(__file__).parent / "images"
BLUE, RED, AMBER, GREEN, GREY, INK = "#30638e", "#d1495b", "#c47f00", "#4c8a4c", "#8d99ae", "#2b2d42"
EPOCHS, BATCH, SEED = 5, 64, 0
TEST = lrfind.RangeTest(epochs=EPOCHS)
CRITERION = torch.nn.CrossEntropyLoss()
SAID = 0.0363
"""The rate that the published experiment found and never used (docs/experiment.md)."""

Loader = torch.utils.data.DataLoader[Any]


@cache
def data() -> Any:
    """Fashion-MNIST."""
    return load("fashion-mnist")


def loader(batch_size: int = BATCH) -> Loader:
    """The training data, shuffled from the global seed."""
    return torch.utils.data.DataLoader(data().train, batch_size=batch_size, shuffle=True)


@cache
def found(strategy: str = "range", batch_size: int = BATCH) -> lrfind.Finding:
    """A search for LeNet with Adam."""
    torch.manual_seed(SEED)
    model = LeNet().layers
    optimizer = torch.optim.Adam(model.parameters())
    options: Any = {"strategy": strategy, "epochs": EPOCHS, "seed": SEED, "progress": False}
    return lrfind.find(model, optimizer, loader(batch_size), CRITERION, **options)


def lr_of(record: lrfind.Record) -> float:
    """What one range test reads off its record."""
    finding: Any = TEST.propose([record])
    return float(finding.lr)


def probe_and_record() -> None:
    """What is asked, and what happened."""
    record = found().records[0]
    upper, lower = axes(2)
    steps = range(1, len(record.probe.lrs) + 1)
    upper.plot(steps, record.probe.lrs, color=GREY, lw=1.5, ls=":", label="asked")
    upper.plot(steps[: len(record.lrs)], record.lrs, ".", ms=4, color=BLUE, label="read back from the optimizer")
    upper.set(yscale="log", title="Probe: the rate of each step")
    lower.plot(steps[: len(record.losses)], record.losses, ".", ms=4, color=BLUE, label=f"stopped: {record.stop}")
    lower.set(xlabel="optimizer step", title="Record: the loss of each step", xlim=upper.get_xlim())
    lower.set_ylim(0, 2.2 * record.losses[0])
    save("probe", upper, lower)


def curve() -> None:
    """Loss against rate, and two ways of smoothing it."""
    record = found().records[0]
    clean = to_curve(record)
    (ax,) = axes()
    start = record.losses[:START]
    band = (clean.level - np.ptp(start), clean.level + np.ptp(start))
    ax.axhspan(*band, color=AMBER, alpha=0.2, lw=0, label="level and range of the first eight losses")
    ax.plot(clean.lrs, clean.losses, ".", ms=4, color=GREY, label="loss of each step")
    ax.plot(clean.lrs, running_mean(record.losses), color=GREEN, lw=1.5, ls="--", label="a running mean (0.98), late")
    ax.plot(clean.lrs, clean.smooth, color=INK, lw=2, label="straight lines of one octave, not late")
    ax.set(xscale="log", xlabel="learning rate (log scale)", ylabel="training loss", ylim=(0, 2 * clean.level))
    save("curve", ax)


def reading() -> None:
    """From the edge down to the rate, for two schedules."""
    clean = to_curve(found().records[0])
    (ax,) = axes()
    high = edge(clean)
    base_lr, max_lr = cyclical_range(clean)
    ax.axvspan(base_lr, max_lr, color=BLUE, alpha=0.12, lw=0, label=f"range for cycles, {base_lr:.2g} to {max_lr:.2g}")
    ax.axvline(high, color=BLUE, lw=1.5, ls="--", label=f"edge, {high:.2g}")
    ax.plot(clean.lrs, clean.losses, ".", ms=4, color=GREY)
    ax.plot(clean.lrs, clean.smooth, color=INK, lw=2)
    for shape, name, colour, height in ((linear, "linear to zero", AMBER, 0.5), (constant, "constant", RED, 0.25)):
        lr = calibrated(clean, Training(epochs=EPOCHS, final_fraction=remaining(shape)))
        ax.axvline(lr, color=colour, lw=2, label=f"rate for a {name} schedule, {lr:.2g}")
        arrow = {"arrowstyle": "->", "color": colour, "lw": 1.5, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (lr, height), (high, height), arrowprops=arrow)
        words = f"{np.log2(high / lr):.1f} octaves"
        ax.text(high * 1.2, height, words, color=colour, va="center", fontsize="small")
    ax.set(xscale="log", xlabel="learning rate (log scale)", ylabel="training loss", ylim=(0, 1.5 * clean.level))
    ax.set_xlim(1e-5, 1)
    save("reading", ax)


def doubts() -> None:
    """A clear curve is read; a noisy one gives way to the rate that is usual."""
    both = axes(2)
    for ax, batch_size in zip(both, (BATCH, 2), strict=True):
        finding = found(batch_size=batch_size)
        clean = to_curve(finding.records[0])
        usual = prior_rate(Training())
        ax.plot(clean.lrs, clean.losses, ".", ms=3, color=GREY)
        ax.plot(clean.lrs, clean.smooth, color=INK, lw=2)
        ax.axvline(edge(clean), color=BLUE, lw=1.5, ls="--", label=f"edge {edge(clean):.2g}")
        ax.axvline(usual, color=AMBER, lw=1.5, ls=":", label=f"usual {usual:.2g}")
        ax.axvline(finding.lr, color=RED, lw=2, label=f"found {finding.lr:.2g}")
        ax.set(xscale="log", xlabel="learning rate (log scale)", ylim=(0, 2 * clean.level))
        ax.set_title(f"Batches of {batch_size}: {prior_weight(clean):.0%} on the usual rate")
    for ax in both:
        ax.set_ylabel("training loss")
    save("doubt", *both)


def replicates() -> None:
    """Three ramps, three readings, their mean in log-rate."""
    finding = found("auto")
    (ax,) = axes()
    for record, colour, name in zip(finding.records, (INK, AMBER, GREEN), ("whole", "shorter", "shorter"), strict=True):
        clean, lr = to_curve(record), lr_of(record)
        label = f"{name} ramp, {len(record.lrs)} steps, reads {lr:.2g}"
        ax.plot(clean.lrs, clean.losses, ".", ms=4, color=colour, alpha=0.4)
        ax.plot(clean.lrs, clean.smooth, color=colour, lw=2, label=label)
        ax.axvline(lr, color=colour, lw=1.5, ls=":")
    ax.axvline(finding.lr, color=RED, lw=2, label=f"found rate {finding.lr:.2g}, {finding.cost.steps} steps in all")
    ax.set(xscale="log", xlabel="learning rate (log scale)", ylabel="training loss", ylim=(0, 3.5))
    save("replicates", ax)


def isolation() -> None:
    """The same training without a search, after ours and after one that puts back weights and optimizer only."""
    without = plain_losses(lambda *parts: None)
    ours = plain_losses(
        lambda model, optimizer, batches: lrfind.find(model, optimizer, batches, CRITERION, progress=False)
    )
    others = plain_losses(other_search)
    same = sum(one == other for one, other in zip(ours, without, strict=True))
    (ax,) = axes()
    steps = range(1, len(without) + 1)
    ax.plot(steps, others, color=AMBER, lw=1.5, label="after torch-lr-finder and its reset")
    ax.plot(steps, without, color=INK, lw=4, alpha=0.35, label="without a search")
    ax.plot(steps, ours, color=RED, lw=1.5, label=f"after lrfind.find: {same} of {len(steps)} equal")
    ax.set(xlabel="optimizer step", ylabel="training loss")
    save("isolation", ax)


def plain_losses(search: Callable[[Any, Any, Any], object], steps: int = 60) -> list[float]:
    """The losses of a training from the seed, after a search."""
    torch.manual_seed(SEED)
    model, batches = LeNet().layers, loader()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    search(model, optimizer, batches)
    losses = []
    for images, labels in islice(batches, steps):
        optimizer.zero_grad()
        loss = CRITERION(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def other_search(model: Any, optimizer: Any, batches: Any) -> None:
    """Search as torch-lr-finder's users do."""
    finder = torch_lr_finder.LRFinder(model, optimizer, CRITERION, device="cpu")
    finder.range_test(batches)
    finder.reset()


class Rates(pl.Callback):
    """Keeps the rate that the optimizer had in every step."""

    def __init__(self) -> None:
        self.lrs: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Take one more."""
        self.lrs.append(float(optimizer.param_groups[0]["lr"]))


def rates_of(model: Any, *callbacks: Any, steps: int = 120) -> list[float]:
    """Train, and return the rates that ran."""
    torch.manual_seed(SEED)
    rates = Rates()
    quiet: Any = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(
        accelerator="cpu", max_steps=steps, callbacks=[*callbacks, rates], enable_model_summary=False, **quiet
    )
    trainer.fit(model, loader())
    return rates.lrs


class Liar(LeNet):
    """Keeps its rate in a hyperparameter, which its optimizer does not read."""

    def __init__(self, lr: float = 2e-3) -> None:
        super().__init__(lr)
        self.save_hyperparameters()


class OneCycle(LeNet):
    """Trained under a schedule, which a rate set on the optimizer alone would not survive."""

    def configure_optimizers(self) -> Any:
        """Adam, under one cycle of 120 steps."""
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=self.lr, total_steps=120)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def verified() -> None:
    """What was said and what ran, step by step."""
    torch.manual_seed(SEED)
    liar, cyclical = Liar(), OneCycle()
    liar.hparams.lr = SAID
    finder = lrfind.lightning.LRFinder(progress=False)
    runs = ((SAID, rates_of(liar)), (finder, rates_of(cyclical, finder)))
    upper, lower = both = axes(2)
    for ax, (said, lrs) in zip(both, runs, strict=True):
        lr = said.finding.lr if isinstance(said, lrfind.lightning.LRFinder) and said.finding else said
        ax.axhline(lr, color=AMBER, lw=2, ls="--", label=f"said: {lr:.3g}")
        ax.plot(range(1, len(lrs) + 1), lrs, color=RED, lw=2, label=f"ran: at most {max(lrs):.3g}")
        ax.set(xlabel="optimizer step", yscale="log", ylim=(1e-5, 0.1))
    upper.set_title("Written to hparams.lr, which nothing reads")
    lower.set_title("LRFinder, under OneCycleLR")
    upper.set_ylabel("rate in the optimizer")
    lower.set_ylabel("rate in the optimizer")
    save("verified", upper, lower)


def running_mean(losses: tuple[float, ...], keep: float = 0.98) -> list[float]:
    """The mean that most finders smooth by, its start corrected."""
    average, smooth = 0.0, []
    for number, loss in enumerate(losses, 1):
        average = keep * average + (1 - keep) * loss
        smooth.append(average / (1 - keep**number))
    return smooth


def axes(count: int = 1) -> list[Any]:
    """New axes, one above the other, narrow enough for a phone."""
    size = (4.3, 4.2 if count == 1 else 3.1 * count)
    grid = plt.subplots(count, 1, figsize=size, layout="constrained", squeeze=False)[1]
    return list(grid.flat)


def save(name: str, *drawn: Any) -> None:
    """Finish the axes in the house look and write the picture."""
    for ax in drawn:
        ax.grid(color="#e5e5e5", lw=0.8)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        ax.title.set_fontsize(10.5)
        if ax.get_xscale() == "log":
            ax.xaxis.set_major_locator(mpl.ticker.LogLocator(numticks=7))
            ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())
        if ax.get_legend_handles_labels()[0]:
            below = mpl.transforms.ScaledTranslation(0, -0.5, ax.figure.dpi_scale_trans)
            place = {"bbox_to_anchor": (0, 0), "bbox_transform": ax.transAxes + below}
            ax.legend(loc="upper left", frameon=False, fontsize=9.5, **place)
    path = IMAGES / f"how-{name}.svg"
    drawn[0].figure.savefig(path, metadata={"Date": None})
    plt.close(drawn[0].figure)
    print(path)


def found_rate() -> None:
    """The plot of the example in README, as README makes it: found.png."""
    example = re.findall(r"```python\n(.*?)```", (IMAGES.parents[1] / "README.md").read_text(encoding="utf-8"), re.S)[0]
    names: dict[str, Any] = {}
    exec(example, names)
    ax = names["finding"].plot()
    ax.figure.savefig(IMAGES / "found.png", dpi=110)
    picture = Image.open(IMAGES / "found.png").convert("RGB")  # a palette takes a third of the space
    picture = picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    picture.save(IMAGES / "found.png", optimize=True)
    print(IMAGES / "found.png")


PICTURES = (found_rate, probe_and_record, curve, reading, doubts, replicates, isolation, verified)


def main() -> None:
    """Make all, or those that are named."""
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    mpl.rcParams.update({"svg.hashsalt": "lrfind", "svg.fonttype": "path", "font.size": 10})
    for picture in PICTURES:
        if picture.__name__ in sys.argv[1:] or len(sys.argv) == 1:
            picture()


if __name__ == "__main__":
    main()
