"""Labels, skins, meshes and the camera's film; and one real Blender frame where bpy is installed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from blender import BLENDER
from numpy.typing import NDArray

from edge_sorter.sim import film, shapes, skins
from edge_sorter.sim.parcels import mesh_of
from edge_sorter.sim.scenario import CLASSES, expand, load
from edge_sorter.sim.truth import box_at

SIZES = {
    "carton": (300.0, 200.0, 150.0),
    "polybag": (320.0, 240.0, 70.0),
    "mailer": (260.0, 190.0, 25.0),
    "tube": (500.0, 90.0, 90.0),
    "sack": (700.0, 420.0, 160.0),
}


@pytest.mark.parametrize("text", ["JD014600003499", "PARCEL-7", "1Z999AA10123456784"])
@pytest.mark.parametrize("seed", range(3))
def test_label_barcodes_read_as_declared(text: str, seed: int) -> None:
    zxingcpp = pytest.importorskip("zxingcpp", reason="the barcode reader is not installed")
    from edge_sorter.sim.labels import shipping_label

    label = shipping_label(text, np.random.default_rng(seed))
    read = {(code.format.name, code.text) for code in zxingcpp.read_barcodes(np.pad(label, 40, constant_values=200))}
    assert read == {("Code128", text), ("QRCode", text)}


@pytest.mark.parametrize("seed", range(3))
def test_an_sscc_label_is_written_as_gs1(seed: int) -> None:
    zxingcpp = pytest.importorskip("zxingcpp", reason="the barcode reader is not installed")
    from edge_sorter.identify.check_digit import gs1_ok
    from edge_sorter.sim.labels import shipping_label
    from edge_sorter.sim.scenario import with_check_digit

    sscc = with_check_digit(f"3401234500000{seed:04d}")
    assert gs1_ok(sscc)
    label = shipping_label(f"(00){sscc}", np.random.default_rng(seed))
    codes = zxingcpp.read_barcodes(np.pad(label, 40, constant_values=200))
    assert {(code.symbology_identifier, code.text) for code in codes} == {
        ("]C1", f"(00){sscc}"),
        ("]d2", f"(00){sscc}"),
    }


@pytest.mark.parametrize("kind", CLASSES)
def test_meshes_have_their_size_and_stand_on_the_belt(kind: str) -> None:
    mesh = mesh_of(kind, SIZES[kind], (1, 2))
    low, high = mesh.vertices_mm.min(axis=0), mesh.vertices_mm.max(axis=0)
    assert low[2] == pytest.approx(0, abs=0.5)
    assert high[0] - low[0] == pytest.approx(SIZES[kind][0], rel=0.1)
    assert high[1] - low[1] == pytest.approx(SIZES[kind][1], rel=0.15)
    assert high[2] == pytest.approx(SIZES[kind][2], rel=0.35)
    assert mesh.quads.max() < len(mesh.vertices_mm)
    assert mesh.uv.shape == (*mesh.quads.shape, 2)
    assert (mesh.uv >= -1e-9).all()
    assert (mesh.uv <= 1 + 1e-9).all()
    np.testing.assert_array_equal(mesh.vertices_mm, mesh_of(kind, SIZES[kind], (1, 2)).vertices_mm)


def test_box_faces_look_outwards() -> None:
    mesh = shapes.box((300.0, 200.0, 100.0))
    corners = mesh.vertices_mm[mesh.quads]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outward = corners.mean(axis=1) - [0, 0, 50.0]
    assert (np.einsum("ij,ij->i", normals, outward) > 0).all()


def test_a_crushed_corner_moves_inwards() -> None:
    whole = mesh_of("carton", SIZES["carton"], (4, 4))
    crushed = mesh_of("carton", SIZES["carton"], (4, 4), damaged=True)
    assert crushed.vertices_mm[:, 2].max() <= whole.vertices_mm[:, 2].max() + 30
    top = crushed.vertices_mm[crushed.vertices_mm[:, 1] < -60]
    assert (top[:, 2] < 140).any()


@pytest.mark.parametrize("kind", CLASSES)
def test_skins_are_drawn_the_same_for_the_same_seed(kind: str) -> None:
    spec = skins.SkinSpec(kind, SIZES[kind], "JD1", px_per_mm=0.5)
    first = skins.draw(spec, np.random.default_rng(5))
    assert first.dtype == np.uint8
    assert first.shape[2] == 4
    np.testing.assert_array_equal(first, skins.draw(spec, np.random.default_rng(5)))
    assert (first != skins.draw(spec, np.random.default_rng(6))).any()


def _carton_top(look: skins.Look) -> NDArray[np.uint8]:
    spec = skins.SkinSpec("carton", SIZES["carton"], None, px_per_mm=0.5, look=look)
    skin = skins.draw(spec, np.random.default_rng(5))
    return skin[: round(SIZES["carton"][1] * 0.5), : round(SIZES["carton"][0] * 0.5), :3]


def test_a_carton_on_its_side_has_no_seam_on_top() -> None:
    seams = [_carton_top(skins.Look(on_side=on_side)).mean(axis=(1, 2)) for on_side in (False, True)]
    upright, on_side = (np.median(seam) - seam[len(seam) // 2 - 2 : len(seam) // 2 + 3].min() for seam in seams)
    assert upright > 15
    assert on_side < 5


def test_a_handling_symbol_is_printed_dark_in_the_middle_of_the_top() -> None:
    plain, printed = (_carton_top(skins.Look(on_side=True, symbol=symbol)).astype(int) for symbol in (False, True))
    rows, columns = np.nonzero((plain - printed).max(axis=2) > 20)
    assert 0.3 < rows.mean() / len(plain) < 0.7
    assert 0.3 < columns.mean() / plain.shape[1] < 0.7
    assert 20 < np.ptp(columns) < 70  # 60 to 130 mm at half a pixel a mm


@pytest.mark.parametrize("seed", range(4))
def test_a_logo_leaves_most_of_a_bag_its_film(seed: int) -> None:
    plain, printed = (
        skins.draw(
            skins.SkinSpec("polybag", SIZES["polybag"], None, "white", look=skins.Look(logo=logo)),
            np.random.default_rng(seed),
        )
        for logo in (False, True)
    )
    share = float((np.abs(plain[..., :3].astype(int) - printed[..., :3]).max(axis=2) > 40).mean())
    assert 0.003 < share < 0.6


def test_film_keeps_size_and_bends_light_and_mask_alike() -> None:
    light = np.full((90, 160, 3), 0.05, np.float32)
    light[30:60, 100:150] = 0.6
    mask = (light[..., 0] > 0.5).astype(np.int32) * 7
    shot = film.develop(light, film.Film(bend=-0.1, noise=0.0), np.random.default_rng(0))
    bent = film.bend_mask(mask, -0.1)
    assert shot.shape == (90, 160, 3)
    bright = shot[..., 0] > 160
    assert (bright != (bent == 7)).mean() < 0.02


def test_infrared_film_is_grey() -> None:
    light = np.random.default_rng(0).uniform(0, 1, (40, 60, 3)).astype(np.float32)
    shot = film.develop(light, film.Film(grey=True, noise=3.0), np.random.default_rng(0))
    assert (shot[..., 0] == shot[..., 2]).all()


@BLENDER
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_blender_shows_a_parcel_where_truth_says(tmp_path: Path) -> None:
    from edge_sorter.sim.camera import PinholeCamera
    from edge_sorter.sim.stage import Quality, Stage

    camera = PinholeCamera((0.0, -200.0, 1500.0), (0.0, 0.0, 0.0), 60.0, (64, 36), roll_rad=0.1)
    stage = Stage(camera.image_px, Quality(samples=1, denoise=False, places=True), threads=1)
    stage.camera(camera)
    stage.world((1.0, 1.0, 1.0), 1.0)
    mesh = mesh_of("carton", SIZES["carton"], (1, 1))
    stage.add(mesh, stage.material((0.8, 0.5, 0.3)), at_mm=(80.0, 40.0, 0.0), number=9)
    shot = stage.shoot(tmp_path / "frame.exr")
    assert shot.light.shape == (36, 64, 3)
    rows, columns = np.nonzero(shot.seen == 9)
    expected = camera.project(mesh.vertices_mm + np.array([80.0, 40.0, 0.0]))
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(found, [*expected.min(axis=0), *expected.max(axis=0)], atol=1.5)
    assert shot.place_mm is not None
    again = camera.project(shot.place_mm[rows, columns].astype(float))
    np.testing.assert_allclose(again, np.column_stack([columns, rows]) + 0.5, atol=1.0)


@BLENDER
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_near_picture_is_of_its_own_generator_and_labels_large_parcels(tmp_path: Path) -> None:
    from edge_sorter.sim.dataset import make_image

    for number in (0, 1):
        make_image(tmp_path, number, seed=43, threads=1, near=True)
    labels = sorted((tmp_path / "labels" / "train").glob("near_43_*.txt"))
    assert [path.stem for path in labels] == ["near_43_00000", "near_43_00001"]
    boxes = [[float(value) for value in row.split()] for path in labels for row in path.read_text().splitlines()]
    assert boxes
    edges = [edge for _, x, y, w, h in boxes for edge in (x - w / 2, x + w / 2, y - h / 2, y + h / 2)]
    assert min(edges) >= -1e-6
    assert max(edges) <= 1 + 1e-6
    assert max(w * h for *_, w, h in boxes) > 0.03


SMALL_CLIP = """
schema: edge_sorter.scenario/1
name: small
seed: 3
video: {width_px: 96, height_px: 54, fps: 10, duration_s: 1.5, exposure_ms: 4, shutter: rolling, readout_ms: 60}
camera: {position_mm: [500, -200, 1500], look_at_mm: [500, 300, 0], horizontal_fov_deg: 40}
belt: {width_mm: 600, speed_mm_s: 500, decision_line_mm: 600}
parcels:
  - {kind: carton, length_mm: 200, width_mm: 150, height_mm: 100, lateral_mm: 300, start_mm: 300}
"""


@BLENDER
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_killed_render_leaves_whole_files_and_goes_on(tmp_path: Path) -> None:
    scenario, out = tmp_path / "small.yaml", tmp_path / "frames"
    scenario.write_text(SMALL_CLIP, encoding="utf-8")
    command = [sys.executable, "-m", "edge_sorter.sim.render", "clip", "--scenario", str(scenario), "--out", str(out)]
    command += ["--jobs", "1", "--samples", "1"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    ends = time.monotonic() + 250
    while not list(out.glob("key_*.npz")) and running.poll() is None and time.monotonic() < ends:
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait(20)
    whole = sorted(out.glob("key_*.npz"))
    assert whole, "it was killed at work"
    assert not list(out.glob("*.mp4"))
    for path in whole:
        with np.load(path) as data:
            assert data["light"].shape == (54, 96, 3)
    before = {path: path.stat().st_mtime_ns for path in whole}
    subprocess.run(command, check=True, timeout=280, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in whole} == before, "what is whole is not made again"
    with av.open(str(out / "small.mp4")) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == 15
    small = load(scenario)
    (parcel,) = expand(small)
    mask = cv2.imread(str(out / "masks" / "frame_0004.png"), cv2.IMREAD_UNCHANGED)
    box = box_at(small, parcel, 0.4)
    assert box is not None
    np.testing.assert_allclose(cv2.boundingRect((mask == 1).astype(np.uint8)), box[:4], atol=2)
