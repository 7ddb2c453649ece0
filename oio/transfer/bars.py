# SPDX-License-Identifier: Apache-2.0
"""Progress bars of rich and tqdm, which are imported when they are used."""

from __future__ import annotations

from typing import Any

from oio.transfer._results import Progress


class TqdmBar:
    """A bar of the package tqdm: give it as `on_progress`, inside a ``with`` block.

    :param kwargs: arguments of ``tqdm.tqdm``
    :raises ImportError: the package is not installed

    >>> with TqdmBar(disable=True) as bar:  # doctest: +SKIP
    ...     Transfer(api, on_progress=bar).upload_tree("photos", Remote("doc", "box"))
    """

    def __init__(self, **kwargs: Any) -> None:
        self._options = {"unit": "B", "unit_scale": True, "unit_divisor": 1024} | kwargs
        self._bar: Any = None

    def __enter__(self) -> TqdmBar:
        from tqdm import tqdm

        self._bar = tqdm(**self._options)
        return self

    def __call__(self, progress: Progress) -> None:
        """Show progress."""
        bar = self._bar
        bar.total = progress.total_bytes
        bar.set_postfix_str(f"{progress.objects} objects, {progress.failed} failed", refresh=False)
        # This goes back when bytes have to be moved again.
        bar.n = progress.bytes
        bar.refresh()

    def __exit__(self, *_exc: object) -> None:
        self._bar.close()


class RichBar:
    """A bar of the package rich: give it as `on_progress`, inside a ``with`` block.

    :param description: text before the bar
    :param kwargs: arguments of ``rich.progress.Progress``
    :raises ImportError: the package is not installed

    >>> with RichBar("photos") as bar:  # doctest: +SKIP
    ...     Transfer(api, on_progress=bar).upload_tree("photos", Remote("doc", "box"))
    """

    def __init__(self, description: str = "transfer", **kwargs: Any) -> None:
        self._description = description
        self._options = kwargs
        self._bars: Any = None
        self._task: Any = None

    def __enter__(self) -> RichBar:
        from rich import progress as rich

        columns = (
            rich.TextColumn("{task.description}"),
            rich.BarColumn(),
            rich.DownloadColumn(),
            rich.TransferSpeedColumn(),
            rich.TimeRemainingColumn(),
        )
        self._bars = rich.Progress(*columns, **self._options)
        self._task = self._bars.add_task(self._description, total=None)
        self._bars.start()
        return self

    def __call__(self, progress: Progress) -> None:
        """Show progress."""
        self._bars.update(self._task, completed=progress.bytes, total=progress.total_bytes)

    def __exit__(self, *_exc: object) -> None:
        self._bars.stop()
