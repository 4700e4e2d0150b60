"""Which model goes live on this machine: the first of its forms and engines that works here and proves itself.

Contract: `open_detector` tries the configured model on each engine, then the float model its manifest names as
`fallback`, then exact float32 arithmetic; it returns the first that agrees with the golden pictures. What was refused
on the way is logged as a warning and kept in `Detector.acceptance`; where nothing is left, the error lists it all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_sorter.config import DetectSection
from edge_sorter.detect.acceptance import LOWEST_SCORE, Parity, Picture, golden_pictures, look, prove, stored_reference
from edge_sorter.detect.detector import Detector, input_size_px
from edge_sorter.detect.engines import Engine, EngineKind, EngineNotHereError, EngineSpec, open_engine
from edge_sorter.detect.manifest import Manifest, load_manifest
from edge_sorter.errors import EngineError, ModelError
from edge_sorter.types import Detections

logger = logging.getLogger(__name__)

ORDER: tuple[EngineKind, ...] = ("tensorrt", "openvino", "onnxruntime")
WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Acceptance:
    """How a detector came to go live.

    Attributes:
        parity: Its comparison with the golden pictures; None where the model came without any.
        refused: Model and engine that were tried before it and why they were not taken, for humans.
    """

    parity: Parity | None
    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Candidate:
    engine: EngineKind
    manifest: Manifest
    spec: EngineSpec

    def __str__(self) -> str:
        return f"{self.manifest.name} on {self.engine}{' (float32)' if self.spec.exact else ''}"


@dataclass
class _Golden:
    """The golden pictures, and the reference boxes for the input size in use, worked out when first asked for."""

    section: DetectSection
    model: Path
    manifest: Manifest
    pictures: list[Picture]
    anew: bool = False
    boxes: list[Detections] = field(default_factory=list)

    def reference(self) -> list[Detections]:
        """Return what the float model sees: as stored, or by ONNX Runtime for another input size."""
        if not self.boxes:
            own = (self.manifest.input.width_px, self.manifest.input.height_px)
            size_px = input_size_px(self.section, self.manifest)
            self.boxes = stored_reference(self.manifest) if size_px == own else self._look()
        return self.boxes

    def _look(self) -> list[Detections]:
        spec = _spec(self.section, self.model, self.manifest)
        with _bare(self.section, self.manifest, open_engine("onnxruntime", spec)) as detector:
            return look(detector, self.pictures)


def open_detector(section: DetectSection, *, anew: bool = False) -> Detector:
    """Load model and manifest, and open the first engine that agrees with the float model on the golden pictures.

    Args:
        section: The configuration.
        anew: Prove again what was proven before.

    Raises:
        ModelError: Model, manifest or golden pictures are missing, damaged, or do not fit each other or the
            configuration.
        EngineError: No engine can run the model on this machine, or none runs it rightly.
        ConfigError: Its confidences contradict each other.
    """
    models = _models(section)
    model, manifest = models[-1]  # the float one where there are two
    owner = next((item for _, item in reversed(models) if item.golden is not None), manifest)
    golden = _Golden(section, model, owner, golden_pictures(model, owner), anew)
    refused: list[str] = []
    absent: list[str] = []
    last: EngineError | None = None
    for candidate in _candidates(section, models):
        try:
            return _open(section, candidate, golden, tuple(refused))
        except EngineNotHereError as error:
            absent.append(f"{candidate.engine}: {error}")
            logger.debug("engine %s: %s", candidate, error)
            last = error
        except EngineError as error:
            refused.append(f"{candidate}: {error}")
            logger.warning("%s is refused: %s", candidate, error)
            last = EngineError(refused[-1])
    if last is not None and len(refused) + len(absent) == 1:
        raise last
    lines = [f"  - {line}" for line in (*dict.fromkeys(absent), *refused)]
    raise EngineError("\n".join((f"no inference engine works for {section.model} on this machine; tried", *lines)))


def specs_of(section: DetectSection) -> list[EngineSpec]:
    """Return what engines would be opened with: the configured model, then its fallback.

    Raises:
        ModelError: A model or manifest is missing or damaged.
    """
    return [_spec(section, model, manifest) for model, manifest in _models(section)]


def _models(section: DetectSection) -> list[tuple[Path, Manifest]]:
    """Return the configured model and the one to fall back to, if it names one."""
    manifest = load_manifest(section.model)
    models = [(section.model, manifest)]
    if manifest.fallback is not None:
        path = section.model.parent / manifest.fallback
        if not path.is_file():
            logger.warning("%s names %s for where it is refused, which is not there", section.model, path)
            return models
        other = load_manifest(path)
        if (other.classes, other.input, other.decode) != (manifest.classes, manifest.input, manifest.decode):
            raise ModelError(f"{path} cannot stand in for {section.model}: classes, input or decoder differ")
        models.append((path, other))
    return models


def _candidates(section: DetectSection, models: Sequence[tuple[Path, Manifest]]) -> Iterator[_Candidate]:
    for index, (model, manifest) in enumerate(models):
        spec = _spec(section, model, manifest)
        kinds = ORDER if section.engine == "auto" else (section.engine,)
        if section.engine == "auto" and index < len(models) - 1:
            kinds = ORDER[:-1]  # ONNX Runtime fuses nothing of an int8 file: the float one is faster there
        for kind in kinds:
            yield _Candidate(kind, manifest, spec)
            if kind == "openvino" and not spec.int8 and manifest.golden is not None:
                yield _Candidate(kind, manifest, replace(spec, exact=True))


def _open(section: DetectSection, candidate: _Candidate, golden: _Golden, refused: tuple[str, ...]) -> Detector:
    engine = open_engine(candidate.engine, candidate.spec)
    try:
        parity = None
        if golden.pictures:
            bare = _bare(section, candidate.manifest, engine)
            parity = prove(bare, golden.pictures, golden.reference, anew=golden.anew)
            if not parity.passed:
                raise EngineError(f"it does not see what the float model sees: {parity}")
        else:
            logger.info("%s cannot be proven here: its manifest names no golden pictures", candidate)
        size_px = candidate.spec.input_size_px
        detector = Detector(section, manifest=candidate.manifest, engine=engine, input_size_px=size_px)
    except BaseException:
        engine.close()
        raise
    detector.acceptance = Acceptance(parity, refused)
    if refused:
        logger.warning("running %s instead", detector.description)
    return detector


def _bare(section: DetectSection, manifest: Manifest, engine: Engine) -> Detector:
    """A detector that looks at whole pictures down to the lowest score, on the same engine."""
    lowest = min(LOWEST_SCORE, manifest.confidence)
    update = {"crop": WHOLE, "mask": (), "classes": (), "confidence": None, "low_confidence": lowest}
    size_px = input_size_px(section, manifest)
    return Detector(section.model_copy(update=update), manifest=manifest, engine=engine, input_size_px=size_px)


def _spec(section: DetectSection, model: Path, manifest: Manifest) -> EngineSpec:
    return EngineSpec(
        model=model,
        sha256=manifest.sha256,
        input_name=manifest.input.name,
        input_size_px=input_size_px(section, manifest),
        scale=manifest.input.scale,
        output_names=manifest.outputs.names(),
        int8=manifest.precision.startswith("int8"),
        threads=section.threads,
    )
