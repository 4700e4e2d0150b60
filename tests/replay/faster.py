"""The demo line at another pace: the same pictures, encoder counts and truth with every moment scaled.

python tests/replay/faster.py 1.2 OUT     # 25 frames/s become 30, the belt's 1.0 m/s become 1.2
edge-sorter soak -c OUT/line.yaml --truth OUT/truth.json --minutes 120
"""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path

import av
import yaml

ROOT = Path(__file__).resolve().parents[2]


def faster(factor: Fraction, out: Path) -> None:
    """Write clip, encoder, truth and configuration of the demo line, `factor` times as fast, into the folder `out`."""
    demo = ROOT / "configs/demo"
    out.mkdir(parents=True, exist_ok=True)
    _remux(demo / "demo.mp4", out / "demo.mp4", factor)
    head, *rows = (demo / "demo.encoder.csv").read_text().splitlines()
    moved = (f"{round(int(ns) / factor)},{count}" for ns, count in (row.split(",") for row in rows))
    (out / "demo.encoder.csv").write_text("\n".join([head, *moved]) + "\n")
    truth = json.loads((demo / "truth.json").read_text())
    truth["fps"] = float(truth["fps"] * factor)
    for parcel in truth["parcels"]:
        if parcel.get("cross_s") is not None:
            parcel["cross_s"] = float(parcel["cross_s"] / factor)
    (out / "truth.json").write_text(json.dumps(truth))
    line = yaml.safe_load((demo / "line.yaml").read_text())
    line["detect"]["model"] = str(ROOT / "weights/parcel-yolo26n.onnx")
    line["belt"]["calibration"] = str(ROOT / "calibration/camera/demo.yaml")
    line["sort"]["plan"] = str(demo / "plan.yaml")
    (out / "line.yaml").write_text(yaml.safe_dump(line))


def _remux(clip: Path, to: Path, factor: Fraction) -> None:
    with av.open(str(clip)) as source, av.open(str(to), "w") as target:
        video = source.streams.video[0]
        copied = target.add_stream_from_template(video)
        copied.time_base = video.time_base / factor
        for packet in source.demux(video):
            if packet.dts is not None:
                packet.stream, packet.time_base = copied, video.time_base / factor
                target.mux(packet)


if __name__ == "__main__":
    faster(Fraction(sys.argv[1]), Path(sys.argv[2]))
