"""`longshore notify`: be told when a batch has finished, has failed tasks, waits and nothing of it runs, or ran for long."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from longshore.cli import live
from longshore.cli.words import Json, add_noun, new_app
from longshore_common.errors import BadInput

if TYPE_CHECKING:
    from longshore.cli.door import Door
    from longshore.notices import Rule

On = Annotated[
    list[str],
    typer.Option(
        "--on", metavar="OCCASION", help="finished, failing, stuck or budget; may be repeated, or parted by commas"
    ),
]
Glob = Annotated[
    str,
    typer.Option("-b", "--batch", metavar="GLOB", help="of batches called so, such as 'genomes-*'",
                 autocompletion=live.batches),
]  # fmt: skip
Webhook = Annotated[str | None, typer.Option("--webhook", metavar="URL", help="POST there, signed")]
Mail = Annotated[str | None, typer.Option("--mail", metavar="ADDRESS", help="write to this address")]
Failing = Annotated[int, typer.Option("--failing", metavar="N", min=1, help="so many failed tasks are an occasion")]
Stuck = Annotated[str, typer.Option("--stuck", metavar="TIME", help="after so long without anything running")]
Budget = Annotated[
    str | None, typer.Option("--budget", metavar="TIME", help="after its tasks ran so long, all together, such as 500h")
]
Rule_ = Annotated[str, typer.Argument(metavar="ID", help="of `longshore notify list`")]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0, help="wait so long for its end")]


def register(root: typer.Typer) -> None:
    """Add this noun."""
    app = new_app("be told when a batch has finished, has failed tasks, or waits and nothing of it runs")
    app.command()(add)
    app.command("list")(list_rules)
    app.command()(show)
    app.command()(remove)
    app.command("test")(send_test)
    add_noun(root, "notify", app)


def add(  # noqa: PLR0913 - the options of a command
    *,
    on: On,
    batch: Glob = "*",
    webhook: Webhook = None,
    mail: Mail = None,
    failing: Failing = 1,
    stuck: Stuck = "1h",
    budget: Budget = None,
) -> None:
    """Be told of batches that have tasks of yours. Prints the id of the rule, and for a webhook the key of its signatures.

    The key is shown this once. A webhook gets the headers and signatures of https://www.standardwebhooks.com, and is tried
    again for about 16 hours until it answers 2xx; the same notice has the same `webhook-id`.
    """
    from longshore.cli.door import Door
    from longshore.cli.printing import data, note
    from longshore.notices import Made
    from longshore.quantities import duration

    body: dict[str, Any] = {
        "occasions": _occasions(on, budget), "batch": batch, "webhook": webhook or "", "mail": mail or "",
        "failing": failing, "stuck": duration(stuck), "budget": duration(budget) if budget else 0,
    }  # fmt: skip
    made = Door().reader.send("POST", "/notifications", body, Made)
    data(f"{made.id}\t{made.key}" if made.key else made.id)
    if made.key:
        note(f"keep the key: it is not shown again; `longshore notify test {made.id}` tries it")


def list_rules(*, as_json: Json = False) -> None:
    """What you want to be told of."""
    from longshore.cli.door import Door
    from longshore.cli.printing import raw_lines, table

    door = Door()
    if as_json:
        raw_lines(map(bytes, door.reader.raw_items("/notifications")))
        return
    rows = [
        (r.id, r.user, ",".join(r.rule.occasions), r.rule.batch, r.rule.webhook or r.rule.mail) for r in _rules(door)
    ]
    table(("id", "user", "on", "batch", "where"), rows)


def show(rule: Rule_, *, as_json: Json = False) -> None:
    """A rule, and the newest notices by it: sent, or why not."""
    from longshore.cli.door import Door
    from longshore.cli.printing import raw_lines, table

    door = Door()
    if as_json:
        raw_lines([door.reader.get(f"/notifications/{rule}").body])
        return
    rows = [(t.made_at, t.way, t.occasion, t.batch, t.sent_at, t.again, t.error) for t in _one(door, rule).told]
    table(("made", "way", "occasion", "batch", "sent", "again", "error"), rows)


def remove(rule: Rule_) -> None:
    """Be told no more by this rule; what waits to be sent by it is not sent."""
    from longshore.cli.door import Door
    from longshore.notices import Removed

    Door().reader.send("DELETE", f"/notifications/{rule}", None, Removed)


def send_test(rule: Rule_, *, timeout: Timeout = 20) -> int:
    """Send a test by each way of the rule; the exit code is 1 if one of them was not taken within --timeout."""
    from longshore.cli.door import Door
    from longshore.cli.polling import polled
    from longshore.cli.printing import data, note
    from longshore.notices import Tested, Told

    door = Door()
    waiting = set(door.reader.send("POST", f"/notifications/{rule}/test", None, Tested).notices)
    told: dict[str, Told] = {}

    def tried() -> bool:
        """Whether each was taken, or refused at least once."""
        told.update({one.id: one for one in _one(door, rule).told if one.id in waiting})
        for one in told.values():
            if one.sent_at is not None and one.id in waiting:
                data(f"{one.way}\ttaken")
                waiting.discard(one.id)
        return all(ident in told and told[ident].error for ident in waiting)

    polled(tried, timeout)
    for ident in waiting:
        one = told.get(ident)
        note(f"{one.way if one else 'it'} was not taken: {(one and one.error) or 'not tried yet'}")
    return 1 if waiting else 0


def _occasions(words: list[str], budget: str | None) -> list[str]:
    found = [part.strip() for word in words for part in word.split(",") if part.strip()]
    for word in found:
        if word not in ("finished", "failing", "stuck", "budget"):
            raise BadInput(f"--on is finished, failing, stuck or budget, not {word!r}")
    if ("budget" in found) != bool(budget):
        raise BadInput(
            "--on budget goes with --budget TIME, such as --budget 500h: so long its tasks may run, all together"
        )
    return found


def _rules(door: "Door") -> "list[Rule]":
    import msgspec

    from longshore.notices import Rule

    return [msgspec.json.decode(raw, type=Rule) for raw in door.reader.raw_items("/notifications")]


def _one(door: "Door", rule: str) -> "Rule":
    from longshore.notices import Rule

    return door.reader.record(f"/notifications/{rule}", Rule)
