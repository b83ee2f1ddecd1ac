"""`python -m consumer.cli`: the same as `review-consumer`."""

from consumer.cli import main

main()
