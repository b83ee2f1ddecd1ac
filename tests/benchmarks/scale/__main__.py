"""How throughput grows with members, and what a record costs with many restaurants and with a long backlog.

    python -m tests.benchmarks.scale [--only members restaurants backlogs] [--keep]

Members: each is `review-consumer run` on an engine that sleeps and answers at most `--pace` reviews a second, so that
all of them together do not fill one core (the table says how many cores they used). More members have a longer backlog,
so that all runs take as long. The rate is taken between the first commit that is seen after all members are at work and
the one that covers the backlog. They alternate, the order is turned round in every second round, and ratios are taken
round by round.

Restaurants and backlogs: one member, whose engine answers at once; its processor time over a backlog, and the most
memory that it had. Where there are more restaurants than records, there are as many records as restaurants.

A quick look: `--rounds 1 --backlog 6000 --records 5000 --restaurants 1000 5000 --backlogs 1000 5000`.
"""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from deploy.kafka.jars import DEFAULT_CACHE
from deploy.kafka.sources import java_broker
from tests.benchmarks.keeping import keep
from tests.benchmarks.ratios import paired
from tests.benchmarks.scale import costs, members

PACKAGES = ("aiokafka", "confluent-kafka", "uvloop")
RESTAURANTS = 1_000
"""Of the backlogs."""


def main() -> None:
    """Print tables and ratios, and keep them."""
    asked = arguments().parse_args()
    broker = java_broker(DEFAULT_CACHE)
    found: dict[str, Any] = {}
    try:
        broker.start()
        for name in asked.only:
            found |= EXPERIMENTS[name](broker.bootstrap_servers, asked)
    finally:
        broker.close()
    if asked.keep:
        print(keep("scale", found, PACKAGES))


def arguments() -> argparse.ArgumentParser:
    """What may be asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--keep", action="store_true", help="write tests/benchmarks/results/scale.json")
    parser.add_argument("--members", type=int, nargs="+", default=[1, 2, 4], help="each a divisor of 16")
    parser.add_argument("--rounds", type=int, default=3, help="of the members")
    parser.add_argument("--backlog", type=int, default=20_000, help="records for each of the members")
    parser.add_argument("--pace", type=float, default=300.0, help="reviews a second that a member's engine answers")
    parser.add_argument("--restaurants", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--records", type=int, default=200_000, help="of the restaurants")
    parser.add_argument("--backlogs", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--engine", choices=costs.SUBJECTS, default="constant", help="of restaurants and backlogs")
    parser.add_argument("--seconds", type=float, default=costs.PATIENCE, help="look at each of these for so long")
    return parser


def _members(address: str, asked: argparse.Namespace) -> dict[str, Any]:
    runs: dict[int, list[members.Round]] = {count: [] for count in asked.members}
    for number in range(asked.rounds):
        for count in asked.members[:: -1 if number % 2 else 1]:
            one = members.run(address, count, count * asked.backlog, asked.pace, _prefix(f"members-{number}-{count}"))
            runs[count].append(one)
            print(
                f"{number + 1}  {count} members {one.records_per_second:8,.0f} records/s {one.cpu_share:6.2f} cores",
                flush=True,
            )
    rates = {count: [one.records_per_second for one in rounds] for count, rounds in runs.items()}
    shares = {count: max(one.cpu_share for one in rounds) for count, rounds in runs.items()}
    for name, ratio in (ratios := ratios_of(rates)).items():
        print(f"{name}: {ratio}")
    kept = [{"members": n, "records_per_second": rates[n], "cpu_share": round(shares[n], 3)} for n in runs]
    return {"members": kept, "pace": asked.pace, "ratios": ratios}


def ratios_of(rates: Mapping[int, Sequence[float]]) -> dict[str, str]:
    """Of the rates of more members to those of one, round by round."""
    return {f"{n} members / 1": str(paired(rates[n], rates[1])) for n in rates if n != 1 and 1 in rates}


def _restaurants(address: str, asked: argparse.Namespace) -> dict[str, Any]:
    return _costs(address, asked, "restaurants", [(n, max(n, asked.records)) for n in asked.restaurants])


def _backlogs(address: str, asked: argparse.Namespace) -> dict[str, Any]:
    return _costs(address, asked, "backlogs", [(RESTAURANTS, n) for n in asked.backlogs])


def _costs(address: str, asked: argparse.Namespace, name: str, sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
    found, subject = list[dict[str, Any]](), costs.SUBJECTS[asked.engine]
    for restaurants, records in sizes:
        one = costs.run(address, restaurants, records, subject, _prefix(f"{name}-{len(found)}"), asked.seconds)
        found.append(asdict(one))
        print(
            f"{restaurants:9,} restaurants {one.records:9,} records {one.cpu_us_per_record:7.1f} µs of processor each"
            f" {one.start_mb:7.1f} MB before {one.most_mb:7.1f} MB at most",
            flush=True,
        )
    return {name: found}


def _prefix(name: str) -> str:
    return f"scale-{os.getpid()}-{name}."


EXPERIMENTS: dict[str, Callable[[str, argparse.Namespace], dict[str, Any]]] = {
    "members": _members,
    "restaurants": _restaurants,
    "backlogs": _backlogs,
}


if __name__ == "__main__":
    main()
