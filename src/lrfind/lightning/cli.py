"""The subcommand ``lr_find`` for a ``LightningCLI`` script."""

import inspect
import shlex
import sys
from argparse import ArgumentError
from typing import Any

from lrfind.errors import BadInputError
from lrfind.flags import SEARCH, condensed, takes
from lrfind.lightning.attributes import trace
from lrfind.lightning.loop import find
from lrfind.records import Finding

_FLAGS = {
    **SEARCH,
    "seed": (int, 0, "Seeds the batches and the random numbers of the search."),
    "optimizer_index": (int | None, None, "Of several optimizers, the one to search."),
    "out": (str | None, None, "Write the finding to this JSON file."),
    "ckpt_path": (str | None, None, "Only taken so that a configuration of fit can be read; must not be set."),
    "weights_only": (bool | None, None, "Likewise; not used."),
}


def with_lr_find(cli: type[Any]) -> type[Any]:
    """Return a ``LightningCLI``, or a subclass of one, that also has the subcommand ``lr_find``.

    Args:
        cli: ``LightningCLI`` of either Lightning package, or your own subclass.

    Example:
        In ``train.py``, ``with_lr_find(LightningCLI)(MyModel, MyData)`` instead of ``LightningCLI(MyModel, MyData)``;
        then ``python train.py lr_find --config config.yaml`` prints the finding, and ``--out finding.json`` keeps it.
    """
    signature = inspect.signature(cli.__init__)

    class LRFindCLI(cli):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            given = signature.bind_partial(self, *args, **kwargs)
            given.apply_defaults()
            if isinstance(trainer := given.arguments["trainer_class"], type):
                own = {"lr_find": lr_find, "__doc__": trainer.__doc__, "__module__": trainer.__module__}
                given.arguments["trainer_class"] = type(trainer.__name__, (trainer,), own)
            super().__init__(*given.args[1:], **given.kwargs)

        def parse_arguments(self, parser: Any, args: Any) -> None:
            if "lr_find" not in (sys.argv if args is None else args):
                super().parse_arguments(parser, args)
                return
            ours = self._subcommand_parsers["lr_find"]
            parser.exit_on_error = ours.exit_on_error = False
            try:
                super().parse_arguments(parser, args)
            except ArgumentError as error:
                parser.exit(2, f"lr_find: {condensed(str(error), ours)}\n")

        def after_lr_find(self) -> None:
            finding, index = self.trainer.lr_found
            how, value = to_train_with(self.model, finding.lr, self.config["lr_find"], index)
            command = "" if value is None else shlex.join([*_command_to_fit(), how, repr(value)])
            print(f"To train with it: {command or f'{how}.'}")

        @staticmethod
        def subcommands() -> dict[str, set[str]]:
            return {**cli.subcommands(), "lr_find": {"model", "train_dataloaders", "datamodule"}}

    LRFindCLI.__name__ = LRFindCLI.__qualname__ = cli.__name__
    return LRFindCLI


@takes(_FLAGS)
def lr_find(self: Any, model: Any, train_dataloaders: Any = None, datamodule: Any = None, **given: Any) -> Finding:
    """Find a learning rate for the model as this trainer would train it; nothing is trained.

    Args:
        self: The trainer.
        model: The module.
        train_dataloaders: What ``fit`` would be given.
        datamodule: Instead, a datamodule.
        **given: The options.
    """
    options = {name: value for name, value in given.items() if value is not None}
    if "ckpt_path" in options:
        raise BadInputError(
            f"a search starts where training starts, not at a checkpoint; leave out ckpt_path {options['ckpt_path']}."
        )
    options.pop("weights_only", None)
    index, out = options.pop("optimizer_index", None), options.pop("out", None)
    finding = find(self, model, train_dataloaders, datamodule=datamodule, optimizer=index, **options)
    self.lr_found = finding, index
    print(finding)
    if out is not None:
        print(f"Written to {finding.save(out)}.")
    return finding


_meanings = "\n".join(f"    {name}: {meaning}" for name, (_, _, meaning) in _FLAGS.items())
lr_find.__doc__ = (inspect.getdoc(lr_find) or "").replace("    **given: The options.", _meanings)


def _command_to_fit() -> list[str]:
    if "lr_find" not in sys.argv:  # called from Python
        return ["fit"]
    kept, is_ours = ["python"], False
    for word in sys.argv:
        if word.startswith("-"):
            is_ours = word.lstrip("-").partition("=")[0] in _FLAGS
        if not is_ours:
            kept.append("fit" if word == "lr_find" else word)
    return kept


def to_train_with(model: Any, lr: float, config: Any, index: int | None = None) -> tuple[str, float | None]:
    """Return the option of LightningCLI that sets a found rate, and its value; or what to do instead, and None.

    ``config`` is what LightningCLI parsed; ``index`` is that of the optimizer that was searched, if one of several was.
    """
    if config.get("optimizer") is not None:
        return "--optimizer.lr", lr
    values, given = trace(model, lr, optimizer=index).values or {}, config["model"]
    for name, value in values.items():
        if (argument := name.removeprefix("hparams.")) in given.get("init_args", given):
            return f"--model.{argument}", value
    places = " or ".join(f"self.{name} of {type(model).__name__} to {value:.6g}" for name, value in values.items())
    return f"set {places}" if places else "give the Trainer the callback lrfind.lightning.LRFinder", None
