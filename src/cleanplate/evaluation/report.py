"""What an evaluation found, as JSON and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cleanplate.evaluation.columns import find_column
from cleanplate.evaluation.ledger import Ledger
from cleanplate.evaluation.summary import Means, Row
from cleanplate.evaluation.tables import Table, make_means, make_methods, make_rows


@dataclass(frozen=True)
class Report:
    """Numbers and where they come from.

    Attributes:
        settings: protocol, data, methods with checksums, code, libraries and machine.
        metrics: names of the columns in order.
        gaps: why columns are empty, by metric.
        rows: one for each method on each case.
        means: see `summarise`.
        notes: what a reader of the numbers has to know.
    """

    settings: Mapping[str, Any]
    metrics: tuple[str, ...]
    gaps: Mapping[str, str]
    rows: tuple[Row, ...]
    means: Means
    notes: tuple[str, ...]

    @property
    def failures(self) -> tuple[Row, ...]:
        """Rows of methods that failed."""
        return tuple(row for row in self.rows if "error" in row)

    @property
    def title(self) -> str:
        """What was measured by which protocol."""
        protocol = self.settings["protocol"]
        return f"Evaluation, protocol {protocol['name']}-{protocol['version']}"

    def facts(self) -> dict[str, str]:
        """Where the numbers come from, for people."""
        settings = self.settings
        protocol, weights = settings["protocol"], settings["metric_weights"]
        split = settings["data"]["split"]
        libraries = ", ".join(
            f"{name} {version}" for name, version in settings["libraries"].items()
        )
        return {
            "protocol": f"{protocol['name']}, version {protocol['version']}: {protocol['summary']}",
            "data": settings["data"]["folder"] + (f", split {split}" if split else ""),
            "code": f"cleanplate {settings['code']}",
            "libraries": libraries,
            "machine": settings["machine"],
            "weights of metrics": ", ".join(f"{k} {v}" for k, v in weights.items()) or "none",
        }

    def tables(self) -> list[Table]:
        """Means by mask, all rows, and the methods."""
        return [
            *(
                make_means(mask, means, self.metrics, self.gaps)
                for mask, means in self.means.items()
            ),
            make_rows(self.rows, self.metrics),
            make_methods(self.settings["methods"]),
        ]

    def remarks(self) -> list[str]:
        """Notes, reasons of empty columns, and what the columns are."""
        about = self.settings["methods"]
        said = [f"{name}: {about[name]['note']}" for name in about if "note" in about[name]]
        empty = [f"{find_column(name).title} is empty: {why}" for name, why in self.gaps.items()]
        measured = [name for name in self.metrics if name not in self.gaps]
        columns = [(find_column(name).title, find_column(name).explanation) for name in measured]
        intervals = "small print beside means: 95 % bootstrap interval over sequences"
        explained = [f"{title}: {text}" for title, text in columns if text]
        return [*self.notes, *said, *empty, *explained, intervals]

    def to_json(self) -> dict[str, Any]:
        """Everything but pictures and features."""
        hidden = ("curves", "features")
        return {
            **self.settings,
            "gaps": dict(self.gaps),
            "notes": list(self.notes),
            "rows": [{k: v for k, v in row.items() if k not in hidden} for row in self.rows],
            "means": self.means,
            "curves": [
                {key: row[key] for key in ("sequence", "mask", "method", "curves")}
                for row in self.rows
                if "curves" in row
            ],
        }

    def to_markdown(self) -> str:
        """Tables and notes."""
        facts = "\n".join(f"- {name}: {fact}" for name, fact in self.facts().items())
        remarks = "\n".join(f"- {remark}" for remark in self.remarks())
        tables = "\n".join(table.to_markdown() for table in self.tables())
        return f"# {self.title}\n\n{facts}\n\n{tables}\n## Notes\n\n{remarks}\n"

    def write(self, ledger: Ledger) -> None:
        """Write `report.json` and `report.md`; raises OutputError when the disk is full."""
        ledger.write("report.json", json.dumps(self.to_json(), indent=1))
        ledger.write("report.md", self.to_markdown())
