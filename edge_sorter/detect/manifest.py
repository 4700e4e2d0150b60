"""A model is a file plus its manifest, because a network file alone does not say what its numbers mean.

Contract: `load_manifest` returns the manifest beside a model file only if it is complete and the file is, byte for
byte, the one it describes; anything else is a `ModelError` that names the file, what is wrong, and what to do.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from edge_sorter.errors import ModelError

Name = Annotated[str, Field(min_length=1)]
Decode = Literal["yolo26_ltrb", "yolo26_obb", "yolo26_e2e", "yolo11_ltrb", "yolo11"]
OUTPUTS: dict[str, tuple[str, ...]] = {
    "yolo26_ltrb": ("boxes", "scores"),
    "yolo26_obb": ("boxes", "scores", "angles"),
    "yolo26_e2e": ("output",),
    "yolo11_ltrb": ("boxes", "scores"),
    "yolo11": ("output",),
}
"""Which output tensors each decoder takes."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class InputSpec(_Part):
    """What the network wants to see: one picture, values multiplied by `scale`, in this order of colours."""

    name: Name
    width_px: int = Field(ge=32)
    height_px: int = Field(ge=32)
    dynamic: bool = Field(description="other sizes in multiples of the stride are possible")
    stride_px: int = Field(ge=1)
    color: Literal["rgb"]
    scale: float = Field(gt=0)

    @model_validator(mode="after")
    def _size_fits_the_stride(self) -> InputSpec:
        if self.width_px % self.stride_px or self.height_px % self.stride_px:
            raise ValueError(f"{self.width_px}x{self.height_px} is not a multiple of stride_px {self.stride_px}")
        return self


class OutputNames(_Part):
    """Names of the output tensors: `boxes`, `scores` and for oriented boxes `angles`, or the one `output`."""

    boxes: Name | None = None
    scores: Name | None = None
    angles: Name | None = None
    output: Name | None = None

    def names(self) -> tuple[str, ...]:
        """Return the names given, in the order boxes, scores, angles, output."""
        return tuple(name for name in (self.boxes, self.scores, self.angles, self.output) if name is not None)


class Golden(_Part):
    """Pictures to prove an engine on, one below the other in a PNG at the model's input size, and what is in them.

    `detections` has a list for each picture, of x1, y1, x2, y2 in pixels, confidence and class index: what the float
    model `float_sha256` sees in ONNX Runtime.
    """

    file: Name
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    float_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    made_by: Name
    detections: tuple[tuple[tuple[float, float, float, float, float, float], ...], ...] = Field(min_length=1)


class Manifest(_Part):
    """Everything needed to run a model, and where it came from."""

    schema_id: Literal["edge_sorter.model/1"] = Field(alias="schema")
    name: Name
    version: Name
    file: Name
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    task: Literal["detect"]
    classes: tuple[Name, ...] = Field(min_length=1)
    input: InputSpec
    decode: Decode
    outputs: OutputNames
    precision: Name
    confidence: float = Field(ge=0, le=1)
    licence: Name
    training: dict[str, Any]
    metrics: dict[str, Any]
    fallback: Name | None = Field(None, description="float model in the same folder, for where this one is refused")
    golden: Golden | None = None

    @property
    def short_name(self) -> str:
        """Return "<name>#<start of its sha256>", which changes with the weights."""
        return f"{self.name}#{self.sha256[:8]}"

    @field_validator("classes")
    @classmethod
    def _classes_are_unique(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in classes if classes.count(name) > 1})
        if twice:
            raise ValueError(f"listed twice: {', '.join(twice)}")
        return classes

    @model_validator(mode="after")
    def _outputs_fit_the_decoder(self) -> Manifest:
        given = {name for name in OutputNames.model_fields if getattr(self.outputs, name) is not None}
        wanted = set(OUTPUTS[self.decode])
        if given != wanted:
            raise ValueError(f"decode {self.decode} needs outputs {sorted(wanted)}, found {sorted(given)}")
        return self


def manifest_path(model: Path) -> Path:
    """Return where the manifest of a model file lies: same folder, same stem, `.json`."""
    return model.with_suffix(".json")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def load_manifest(model: Path) -> Manifest:
    """Read the manifest of a model file and check the file against it.

    Raises:
        ModelError: The model or manifest is missing or unreadable, the manifest is incomplete, or they do not match.
    """
    path = manifest_path(model)
    if not model.is_file():
        raise ModelError(f"model {model} does not exist; check detect.model in the configuration")
    if path == model:
        raise ModelError(f"model {model} is a manifest; detect.model must name the network file beside it")
    if not path.is_file():
        raise ModelError(f"model {model} has no manifest: expected {path}; copy it together with the model file")
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelError(f"manifest {path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise ModelError(_explain(path, error)) from None
    if manifest.file != model.name:
        raise ModelError(f"manifest {path} describes {manifest.file!r}, not {model.name!r}; use the pair as delivered")
    try:
        actual = sha256_of(model)
    except OSError as error:
        raise ModelError(f"model {model} cannot be read: {error.strerror}") from None
    if actual != manifest.sha256:
        raise ModelError(
            f"model {model} was changed after its manifest {path} was written: sha256 is {actual[:12]}…, "
            f"the manifest says {manifest.sha256[:12]}…; restore the file, or export model and manifest again"
        )
    return manifest


def _explain(path: Path, error: ValidationError) -> str:
    lines = []
    for item in error.errors(include_url=False):
        if item["type"] == "json_invalid":
            return f"manifest {path} is not valid JSON: {item['ctx']['error']}; export the model again"
        key = ".".join(str(part) for part in item["loc"]) or "manifest"
        message = item["msg"].removeprefix("Value error, ")
        message = {"extra_forbidden": "unknown key", "missing": "required key is missing"}.get(item["type"], message)
        if item["type"] not in {"extra_forbidden", "missing"} and not isinstance(item["input"], (dict, list, tuple)):
            message = f"{message} (found {item['input']!r})"
        lines.append(f"  - {key}: {message}")
    return "\n".join((f"manifest {path} is not a valid model manifest; export the model again", *lines))
