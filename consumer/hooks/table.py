"""`python -m consumer.hooks.table`: the declared metrics as the table in consumer/README.md."""

import sys

from consumer.hooks.declared import ALL, Declared


def markdown() -> str:
    """One row a metric, in the order of their declarations."""
    return "\n".join(("| metric | type | labels | unit | means |", "|---|---|---|---|---|", *map(_row, ALL)))


def _row(one: Declared) -> str:
    labels = ", ".join(f"`{label}`" for label in one.labels)
    return f"| `{one.full_name}` | {one.type} | {labels} | {one.unit} | {one.help} |"


if __name__ == "__main__":
    sys.stdout.write(f"{markdown()}\n")
