"""One run on one agent, from the plan to the exit code."""

from __future__ import annotations

from dataclasses import dataclass

from heyfleet import __version__
from heyfleet.controller import terminal
from heyfleet.controller.agent_link import AgentLink
from heyfleet.controller.interrupt import Interrupted, Interrupts
from heyfleet.controller.plan import Flags, InputError, make_plan, whole_plan
from heyfleet.controller.progress import Progress
from heyfleet.controller.stats import Stats
from heyfleet.controller.summary import Summary, summarize
from heyfleet.proto.fleet_pb2 import Done, Plan, Ready, Refused

EXIT_OK = 0
EXIT_FAULT = 1
EXIT_CANNOT_START = 2
EXIT_NO_RESPONSE = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """All that an agent said in a run."""

    ready: Ready
    stats: Stats
    done: Done


def run(flags: Flags, agent: AgentLink) -> int:
    """Plan, execute, report on stdout; the exit code."""
    try:
        plan = make_plan(flags)
        with Interrupts(agent.stop) as interrupts:
            measured = execute(plan, agent, interrupts)
    except InputError as error:
        terminal.complain(str(error))
        return EXIT_CANNOT_START
    except Interrupted:
        terminal.complain("interrupted before the start; nothing was sent")
        return interrupts.exit_code
    summary = summarize(measured.stats, flags, plan, measured.ready, measured.done)
    report(summary, flags, measured.done)
    return interrupts.exit_code or exit_code(summary)


def execute(plan: Plan, agent: AgentLink, interrupts: Interrupts) -> Measured:
    """Run the load to its end; whatever goes wrong, none goes on. InputError if the agent refuses."""
    progress, stats = Progress(), Stats()
    try:
        progress.prepare(plan)
        answer = agent.prepare(whole_plan(plan))
        if isinstance(answer, Refused):
            raise InputError(answer.reason)
        interrupts.running()
        agent.start()
        for snapshot in agent.snapshots():
            stats.add(snapshot)
            progress.show(stats, snapshot)
        return Measured(answer, stats, agent.done())
    except BaseException:
        agent.stop()
        raise
    finally:
        progress.erase()


def report(summary: Summary, flags: Flags, done: Done) -> None:
    """Print what the flags ask for; only what a report is made with gets imported."""
    if flags.output == "json":
        from heyfleet.controller.report import document

        terminal.write_out([document.render(summary, __version__)])
    elif flags.output == "csv":
        from heyfleet.controller.report import notes, rows

        terminal.write_out(rows.render(done.trace))
        if summary.errors:
            kinds = ", ".join(f"{count} {kind}" for kind, count in summary.errors.items())
            terminal.complain(f"errors, not among the rows: {kinds}")
        for note in notes.notes(summary):
            terminal.complain(note)
    else:
        from heyfleet.controller.report import hey

        terminal.write_out([hey.render(summary)])


def exit_code(summary: Summary) -> int:
    """What a script should know of a run that nobody interrupted."""
    if summary.ledger.faults:
        return EXIT_FAULT
    return EXIT_OK if summary.ledger.responses else EXIT_NO_RESPONSE
