"""Fill the clips of a protocol with each method, write the report; networks of metrics."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from cleanplate.errors import CleanplateError, OutputError, WeightsError
from cleanplate.machine import Device, choose_device
from cleanplate.network import checksum
from cleanplate.network.weights import unpickle_tensors
from cleanplate.options import Precision
from cleanplate.removal.identity import describe_code, describe_libraries, describe_processor
from cleanplate.research.evaluation.clips import Clip, Survey, Unsuitable, draw_case, survey
from cleanplate.research.evaluation.learned import (
    Describer,
    I3d,
    Networks,
    PerceptualDistance,
    pool_features,
)
from cleanplate.research.evaluation.methods import Method, choose_methods
from cleanplate.research.evaluation.metric import Metric
from cleanplate.research.evaluation.page import write_page
from cleanplate.research.evaluation.protocols import (
    PROTOCOLS,
    Found,
    Protocol,
    find_cases,
    make_metrics,
)
from cleanplate.research.evaluation.report import Report
from cleanplate.research.evaluation.scoring import (
    Ledger,
    Row,
    SequenceFlow,
    pack_features,
    score,
    summarise,
    unpack_features,
)

Progress = Callable[[int, int | None], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Weights:
    """Weights files of learned metrics; the column of a missing one says why it is empty."""

    i3d: Path | None = None
    lpips: Path | None = None


def evaluate(
    data: Path,
    output: Path,
    *,
    protocol: str = "folder",
    methods: Sequence[str] = ("auto",),
    model: str | None = None,
    device: Device = "auto",
    precision: Precision = "auto",
    split: str | None = None,
    only: Sequence[str] = (),
    weights: Weights | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Evaluate methods on a data set and write a report.

    Args:
        data: root of the data set; see `protocols`.
        output: folder for `report.json`, `report.md`, `report.html` and their data.
        protocol: one of PROTOCOLS.
        methods: see `choose_methods`.
        model: network of `auto` and `network`; None: as in `cleanplate remove`.
        device: device of networks.
        precision: precision of networks.
        split: split of a published data set.
        only: names of sequences; empty takes all.
        weights: weights of metrics that need a network.
        resume: keep earlier measurements, if the settings are the same.
        progress: called with the number of frames done and in total, over all methods.

    Returns:
        The report. Its `failures` list failed methods; the others were completed.

    Raises:
        InputError: the data, a method or the output folder cannot be used; nothing was measured.
    """
    chosen = PROTOCOLS[protocol]
    ledger = Ledger(output, resume=resume)
    ready = choose_methods(methods, model=model, device=device, precision=precision)
    files = weights or Weights()
    networks = load_networks(i3d=files.i3d, lpips=files.lpips, device=choose_device(device))
    found = find_cases(chosen, data, masks=output / "masks", split=split, only=only)
    clips = [Clip(case) for case in found.cases]
    settings = _settle(chosen, data, split, clips, ready, networks.checksums)
    ledger.settle(settings)

    make = _MetricMaker(chosen, networks)
    counter = _Counter(progress, sum(clip.count for clip in clips) * len(ready))
    run = _Run(ledger, ready, make, counter)
    rows = [row for clip in clips for row in run.measure(clip)]
    report = _report(chosen, settings, found, rows, make(clips[0]))
    report.write(ledger)
    write_page(report, ledger, found.cases)
    return report


def _settle(
    protocol: Protocol,
    data: Path,
    split: str | None,
    clips: Sequence[Clip],
    methods: Sequence[Method],
    checksums: Mapping[str, str],
) -> dict[str, Any]:
    """Collect every setting that the results depend on."""
    return {
        "protocol": {
            "name": protocol.name,
            "version": protocol.version,
            "summary": protocol.summary,
            "size": str(protocol.size) if protocol.size else "as given",
            "conventions": asdict(protocol.conventions),
        },
        "data": {"folder": str(data.resolve()), "split": split},
        "cases": [f"{clip.case}: {clip.count} frames of {clip.size}" for clip in clips],
        "methods": {method.name: method.describe() for method in methods},
        "metric_weights": dict(checksums),
        "code": describe_code(without=("batch", "page")),
        "libraries": describe_libraries(),
        "machine": _describe_machine(),
    }


def _describe_machine() -> str:
    """Describe the processor, its number of cores, and the accelerator if there is one."""
    text = f"{describe_processor()}, {os.cpu_count()} cores"
    return f"{text}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else text


class _MetricMaker:
    """Factory of the metrics of a clip; clips of one sequence share the flow cache."""

    def __init__(self, protocol: Protocol, networks: Networks) -> None:
        self._conventions, self._networks = protocol.conventions, networks
        self._flows = SequenceFlow()

    def __call__(self, clip: Clip) -> list[Metric]:
        known, sequence = clip.has_truth, clip.case.sequence
        return make_metrics(
            self._conventions,
            truth=known,
            networks=self._networks,
            flow=lambda: self._flows.choose(sequence, has_truth=known),
        )


class _Counter:
    """Counter of finished frames that reports progress."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def advance(self, frames: int = 1) -> None:
        self._done += frames
        if self._progress is not None:
            self._progress(self._done, self._total)

    def reach(self, done: int) -> None:
        """Set the count to `done` frames, after skipped or failed work."""
        self.advance(done - self._done)

    @property
    def done(self) -> int:
        return self._done


class _Run:
    """Evaluation of the rows that are not in the ledger yet."""

    def __init__(
        self,
        ledger: Ledger,
        methods: Sequence[Method],
        make: _MetricMaker,
        counter: _Counter,
    ) -> None:
        self._ledger, self._methods, self._make = ledger, methods, make
        self._counter = counter

    def measure(self, clip: Clip) -> list[Row]:
        """Measure one case: one row per method."""
        known = {method.name: self._ledger.find(clip.case, method.name) for method in self._methods}
        found: Survey | CleanplateError | None = None
        rows = []
        for method in self._methods:
            end = self._counter.done + clip.count
            row = known[method.name]
            if row is None:
                found = found or self._look(clip)
                row = self._measure(clip, found, method)
            self._counter.reach(end)
            rows.append(row)
        return rows

    def _look(self, clip: Clip) -> Survey | CleanplateError:
        """Survey the clip and store its pictures; an error is stored for this clip only."""
        try:
            found = survey(clip)
            self._ledger.keep_pictures(clip.case, draw_case(iter(clip), found.moments))
        except OutputError:
            raise
        except CleanplateError as error:
            return error
        return found

    def _measure(self, clip: Clip, found: Survey | CleanplateError, method: Method) -> Row:
        row = _describe_case(clip, found) | {"method": method.name}
        strip = None
        try:
            if isinstance(found, CleanplateError):
                raise found
            result = score(method, clip, found, self._make(clip), self._counter.advance)
        except Unsuitable as reason:
            row["left_out"] = str(reason)
        except Exception as error:  # one method must not stop the others
            _log.debug("%s on %s failed", method.name, clip.case, exc_info=True)
            row["error"] = " ".join(f"{error}".split()) or type(error).__name__
        else:
            strip = result.strip
            row |= result.values | {
                "seconds": round(result.seconds, 3),
                "scoring_seconds": round(result.scoring_seconds, 3),
                "curves": result.curves,
                "features": pack_features(result.features),
            }
        self._ledger.keep(clip.case, method.name, row, strip)
        return row


def _describe_case(clip: Clip, found: Survey | CleanplateError) -> Row:
    about = {
        "sequence": clip.case.sequence,
        "mask": clip.case.mask,
        "frames": clip.count,
        "size": str(clip.size),
    }
    if isinstance(found, CleanplateError):
        return about
    return about | {
        "frames_without_hole": clip.count - found.with_hole,
        "hole_share": found.share,
        "mask_checksum": found.checksum,
    }


def _report(
    protocol: Protocol,
    settings: dict[str, Any],
    found: Found,
    rows: Sequence[Row],
    metrics: Sequence[Metric],
) -> Report:
    """Build the report from the ledger."""
    names = [metric.name for metric in metrics]

    def pool(name: str, measured: Sequence[Row]) -> float | None:
        kept = [row["features"][name] for row in measured if name in row["features"]]
        return pool_features([unpack_features(each) for each in kept]) if kept else None

    origin = {"protocol": protocol.label, "code": settings["code"]}
    about = settings["methods"]
    return Report(
        settings=settings,
        metrics=tuple(names),
        gaps={metric.name: metric.gap for metric in metrics if metric.gap},
        rows=tuple(
            row
            | origin
            | {key: about[row["method"]].get(key, "none") for key in ("weights", "device")}
            for row in rows
        ),
        means=summarise(rows, names, pool),
        notes=(*found.notes, *_note(rows)),
    )


def _note(rows: Sequence[Row]) -> list[str]:
    """Collect notes that readers of the results need."""
    cases = {(row["sequence"], row["mask"]): row for row in rows}
    return [
        f"{sequence}, {mask}: {row['frames_without_hole']} of {row['frames']} frames have no hole"
        " and are not scored"
        for (sequence, mask), row in cases.items()
        if row.get("frames_without_hole")
    ]


_Network = TypeVar("_Network", bound=nn.Module)

_I3D_FILE = "I3D weights such as pytorch-i3d's rgb_imagenet.pt"
_LPIPS_FILE = "LPIPS weights: torchvision's AlexNet, or the state of the package lpips"


def load_networks(
    *, i3d: Path | None = None, lpips: Path | None = None, device: str = "cpu"
) -> Networks:
    """Load networks from files without running code from them.

    Args:
        i3d: `rgb_imagenet.pt` of pytorch-i3d, for VFID.
        lpips: torchvision's AlexNet (`alexnet-owt-7be5be79.pth`; the channel weights then come from
            the installed package lpips), or the complete state of an `lpips.LPIPS(net="alex")`.
        device: device of the networks.

    Raises:
        WeightsError: a file is missing, damaged, another network's, or would run code.
    """
    files = [path for path in (i3d, lpips) if path is not None]
    network = None if i3d is None else _load_i3d(i3d).to(device)
    return Networks(
        by_clip=None if network is None else Describer(network, batch_statistics=True),
        by_training=None if network is None else Describer(network, batch_statistics=False),
        lpips=None if lpips is None else _load_lpips(lpips).to(device),
        checksums={path.name: checksum(path) for path in files},
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors by name with torch's safe reader; raise WeightsError."""
    content = unpickle_tensors(path, "get it again")
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise WeightsError(f"{path} holds something else than weights by name; check which it is")
    return content


def _load_i3d(path: Path) -> I3d:
    tensors = read_tensors(path)
    return _fill(I3d(), {k: v for k, v in tensors.items() if "logits" not in k}, path, _I3D_FILE)


def _load_lpips(path: Path) -> PerceptualDistance:
    tensors = read_tensors(path)
    if "features.0.weight" in tensors:
        tensors |= _read_layer_weights(path)
    found = {}
    network = PerceptualDistance()
    for layer, part in enumerate((0, 3, 6, 8, 10)):
        for kind in ("weight", "bias"):
            names = (f"features.{part}.{kind}", f"net.slice{layer + 1}.{part}.{kind}")
            found[f"trunk.{part}.{kind}"] = _pick(tensors, names)
        weight = _pick(tensors, (f"lin{layer}.model.1.weight",))
        found[f"weights.{layer}"] = None if weight is None else weight.flatten()
    return _fill(network, {k: v for k, v in found.items() if v is not None}, path, _LPIPS_FILE)


def _read_layer_weights(path: Path) -> dict[str, Tensor]:
    package = find_spec("lpips")
    if package is None or package.origin is None:
        raise WeightsError(
            f"{path} is AlexNet alone; install the package lpips, which has the layers' weights"
        )
    return read_tensors(Path(package.origin).parent / "weights" / "v0.1" / "alex.pth")


def _pick(tensors: Mapping[str, Tensor], names: tuple[str, ...]) -> Tensor | None:
    return next((tensors[name] for name in names if name in tensors), None)


def _fill(network: _Network, tensors: Mapping[str, Tensor], path: Path, wanted: str) -> _Network:
    """Load strictly, except for batch counters, which old files lack."""
    expected = network.state_dict()
    needed = {name for name in expected if not name.endswith("num_batches_tracked")}
    strange = sorted((needed - set(tensors)) | (set(tensors) - set(expected)))
    known = sorted(needed & set(tensors))
    strange += [name for name in known if tensors[name].shape != expected[name].shape]
    if strange:
        raise WeightsError(
            f"{path} holds another network ('{strange[0]}' does not fit); give {wanted}"
        )
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise WeightsError(f"{path} holds numbers that are not finite; get it again")
    network.load_state_dict(dict(tensors), strict=False)
    return network.eval().requires_grad_(False)
