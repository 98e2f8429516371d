"""How an instance gets its process: one that sleeps is woken, else a primed template or a template forks one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from quickthaw.errors import QuickthawError, StartFailed
from quickthaw_platform.control_groups.group import Group
from quickthaw_platform.worker.beginnings import Beginnings
from quickthaw_platform.worker.egress_proxy import EgressProxy
from quickthaw_platform.worker.instance_life import Instance
from quickthaw_platform.worker.instance_process import InstanceOrder, InstanceProcess, Listener
from quickthaw_platform.worker.loop import Loop
from quickthaw_platform.worker.primed_process import Primed
from quickthaw_platform.worker.sleepers import Sleepers
from quickthaw_platform.worker.templates import Template, Templates, Waiter

OnFailed = Callable[[QuickthawError, bool], None]
"""Hears why an instance gets no process, and whether another try can help."""


class Launcher:
    """For the loop's thread only."""

    def __init__(
        self,
        loop: Loop,
        templates: Templates,
        beginnings: Beginnings,
        sleepers: Sleepers,
        proxy: EgressProxy,
        *,
        group: Callable[[InstanceOrder], Group | None],
    ) -> None:
        """`group` makes an instance's control group, and raises OSError where the kernel refuses."""
        self._loop = loop
        self._templates = templates
        self._beginnings = beginnings
        self._sleepers = sleepers
        self._proxy = proxy
        self._group = group

    def launch(
        self, instance: Instance, listener: Listener, *, is_wanted: Callable[[], bool], on_failed: OnFailed
    ) -> None:
        """Give an instance a process by the nearest way: now, or when its template is there and it `is_wanted` still.

        From the second try on the process is forked by a template: what was nearer may be what failed.
        """
        sleeper = self._sleepers.take(instance.order.instance) if instance.tries == 1 else None
        primed = self._primed_for(instance) if instance.tries == 1 and sleeper is None else None
        instance.woken, instance.primed = sleeper is not None, primed is not None
        if sleeper is not None:
            _wake(instance, sleeper, listener)
        elif primed is not None:
            self._fork(instance, primed, listener, on_failed)
        else:
            self._fork_from_template(instance, listener, is_wanted, on_failed)

    def _primed_for(self, instance: Instance) -> Primed | None:
        return self._beginnings.template_of(instance.order.instance.version, instance.order.template)

    def _fork_from_template(
        self, instance: Instance, listener: Listener, is_wanted: Callable[[], bool], on_failed: OnFailed
    ) -> None:
        asked = time.monotonic()

        def ready(template: Template) -> None:
            if is_wanted() and instance.process is None:
                _note_stages(instance, template, asked)
                self._fork(instance, template, listener, on_failed)

        def failed(error: QuickthawError, again: bool) -> None:
            if is_wanted():
                on_failed(error, again)

        self._templates.obtain(instance.order.template, Waiter(ready, failed))
        instance.from_template = instance.process is not None

    def _fork(self, instance: Instance, template: Template | Primed, listener: Listener, on_failed: OnFailed) -> None:
        # Each try has its own folder: that of the one before may still be being deleted.
        order = replace(instance.order.instance, workdir=instance.order.instance.workdir / str(instance.tries))
        try:
            group = self._group(order)
        except OSError as error:
            on_failed(StartFailed(f"the instance's control group could not be made: {error}"), False)
            return
        instance.process = InstanceProcess(self._loop, template, order, group, self._proxy, listener)


def _wake(instance: Instance, process: InstanceProcess, listener: Listener) -> None:
    instance.process = process
    process.listener = listener
    process.send({"t": "wake", "sent_at": time.monotonic()})


def _note_stages(instance: Instance, template: Template, asked: float) -> None:
    """Count the stages of making a template for a start that has waited for that since `asked`."""
    instance.stages |= template.stages
    if template.stages:
        prepared = time.monotonic() - asked - sum(template.stages.values())
        instance.stages["template"] = max(0.0, prepared)
        for name in ("template", *template.stages):
            instance.meter.stage(name, instance.stages[name])
