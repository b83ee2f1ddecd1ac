"""The command line: `review-consumer`."""

import sys

import typer

from consumer.cli import calibrate, config, dlq, evaluate, rekey, run, state, topics
from consumer.errors import ConfigError

app = typer.Typer(
    name="review-consumer",
    help="Restaurant reviews in on Kafka; sentiment, summaries and strengths out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # locals hold review texts and secrets
)
app.command("run")(run.run)
app.command("calibrate")(calibrate.calibrate)
app.command("evaluate")(evaluate.evaluate)
app.command("rekey")(rekey.rekey)
app.command("config")(config.config)
app.add_typer(dlq.app, name="dlq")
app.add_typer(state.app, name="state")
app.add_typer(topics.app, name="topics")

EXIT_CONFIG = 2


def main() -> None:
    """Run the command line. What a person must change ends with a message and status 2, never a traceback."""
    try:
        app()
    except ConfigError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(EXIT_CONFIG)
