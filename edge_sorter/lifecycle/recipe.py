"""What a training run may vary, in one frozen value that is written into the record of the run.

Contract: every field is a number or a word, so that `--set NAME=VALUE` reaches all of them and JSON keeps them exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_sorter.lifecycle.augment import CameraEffects


@dataclass(frozen=True)
class Recipe:
    """Length, learning rate, image size and augmentation of a run.

    The range of scale is wide because a parcel fills a third of one camera and a twentieth of another; it leans to
    larger because the line runs at more pixels than a CPU can train at.

    Attributes:
        activation: of every convolution, one of `architecture.ACTIVATIONS`; empty: what architecture or weights have.
        hours: above 0: as many epochs as fit, with the learning rate decayed to its end.
        imgsz: longer side of the pictures in px, a multiple of 32.
        patience: stop after this many epochs without a better validation; 0 never.
        cosine: whether the learning rate falls as a cosine from `lr0` to `lr0 * lrf`, else straight.
        class_weight: 0 treats classes alike, 1 weighs them by 1 / count, between by that power.
        resample: pictures with rare classes are repeated until each class is in about this share of them; 0 never.
        blur_px: see `augment.CameraEffects`, like the five below it.
    """

    activation: str = ""
    epochs: int = 20
    hours: float = 0.0
    imgsz: int = 384
    batch: int = 16
    seed: int = 0
    optimizer: str = "AdamW"
    lr0: float = 0.002
    lrf: float = 0.01
    cosine: bool = True
    warmup_epochs: float = 1.0
    weight_decay: float = 0.0005
    patience: int = 0
    class_weight: float = 0.0
    resample: float = 0.0
    mosaic: float = 1.0
    close_mosaic: int = 4
    mixup: float = 0.0
    scale_min: float = 0.5
    scale_max: float = 1.8
    translate: float = 0.1
    degrees: float = 8.0
    perspective: float = 0.0
    hsv_h: float = 0.02
    hsv_s: float = 0.6
    hsv_v: float = 0.4
    flipud: float = 0.3
    fliplr: float = 0.5
    blur_px: float = 0.0
    blur_deg: float = 0.0
    noise: float = 0.0
    exposure: float = 1.0
    jpeg_quality: int = 0
    effects_share: float = 0.5

    def camera(self) -> CameraEffects:
        """Return what the recipe lets the camera do to a picture."""
        return CameraEffects(
            blur_px=self.blur_px,
            blur_deg=self.blur_deg,
            noise=self.noise,
            exposure=self.exposure,
            jpeg_quality=self.jpeg_quality,
            share=self.effects_share,
        )
