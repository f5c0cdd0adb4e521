"""The program and its commands."""

from typing import Annotated

import typer

import lrfind
from lrfind.cli.compare import compare
from lrfind.cli.demo import demo
from lrfind.cli.find import find
from lrfind.cli.options import PASSES_ON
from lrfind.cli.show import show

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""Exit codes: 0 done, "too close to call" included; 1 it could not be done, and a sentence on the error
stream says why; 2 the command line was not understood; 130 stopped by Ctrl-C.""",
)
app.command(context_settings=PASSES_ON)(find)
app.command(context_settings=PASSES_ON)(compare)
app.command()(show)
app.command()(demo)


def _say_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"lrfind {lrfind.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Say the version.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Find a learning rate you can trust.

    Try it, then let it look at your own model:

    ```text
    lrfind demo
    lrfind find --model train:Net --data train:Data
    ```

    Each command has examples: lrfind find --help.
    """
