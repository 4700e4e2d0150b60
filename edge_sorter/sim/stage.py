"""The only file that talks to Blender: meshes, materials, lights and a camera in, linear pixels out.

Contract: ``Stage`` owns Blender's one scene; ``shoot`` returns the linear picture and, per pixel, the number of the
object seen there. World lengths come in millimetres and are metres inside Blender. Needs ``bpy`` and ``OpenEXR``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import OpenEXR  # type: ignore[import-not-found,unused-ignore]
from mathutils import Matrix
from numpy.typing import NDArray

from edge_sorter.sim.camera import PinholeCamera
from edge_sorter.sim.shapes import Mesh, box

FloatImage = NDArray[np.float32]
MM = 0.001


@dataclass(frozen=True)
class Quality:
    """How much light transport a picture gets: what it costs on a CPU."""

    samples: int = 5
    bounces: int = 2
    denoise: bool = True
    denoiser_quality: str = "HIGH"
    persistent: bool = False
    places: bool = False


@dataclass(frozen=True)
class Shot:
    """What the camera got: linear RGB (h, w, 3), object number (h, w) and, if asked for, place in mm (h, w, 3)."""

    light: FloatImage
    seen: NDArray[np.int32]
    place_mm: FloatImage | None = None


@contextmanager
def quiet() -> Iterator[None]:
    """Blender prints every saved file straight to file descriptor 1; a progress bar cannot live beside that."""
    sys.stdout.flush()
    kept = os.dup(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(null)


class Stage:
    """One Blender scene, empty at first."""

    def __init__(self, image_px: tuple[int, int], quality: Quality, *, seed: int = 0, threads: int = 0) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self._scene = bpy.context.scene
        self._image_px, self._samples = image_px, quality.samples
        render, cycles = self._scene.render, self._scene.cycles
        render.engine = "CYCLES"
        render.resolution_x, render.resolution_y = image_px
        render.resolution_percentage = 100
        render.use_persistent_data = quality.persistent
        render.use_compositing = False
        if threads:
            render.threads_mode, render.threads = "FIXED", threads
        settings = {
            "device": "CPU",
            "samples": quality.samples,
            "use_adaptive_sampling": False,
            "seed": seed,
            "use_denoising": quality.denoise,
            "denoiser": "OPENIMAGEDENOISE",
            "denoising_prefilter": "FAST",
            "denoising_quality": quality.denoiser_quality,
            "max_bounces": quality.bounces,
            "diffuse_bounces": quality.bounces,
            "glossy_bounces": min(2, quality.bounces),
            "transmission_bounces": 1,
            "transparent_max_bounces": 2,
            "caustics_reflective": False,
            "caustics_refractive": False,
            "sample_clamp_indirect": 4.0,
            "sample_clamp_direct": 12.0,
            "use_light_tree": False,
            "blur_glossy": 1.0,
        }
        for name, value in settings.items():
            setattr(cycles, name, value)
        self._scene.view_layers[0].use_pass_object_index = True
        self._scene.view_layers[0].use_pass_position = quality.places
        self._scene.render.image_settings.media_type = "MULTI_LAYER_IMAGE"
        self._scene.render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
        self._scene.render.image_settings.color_depth = "32"
        self._scene.render.image_settings.exr_codec = "NONE"
        self._camera_seen: Any = None

    def material(
        self,
        colour: tuple[float, float, float],
        *,
        rough: float = 0.5,
        metal: float = 0.0,
        skin: NDArray[np.uint8] | None = None,
        glow: float = 0.0,
        tile: bool = True,
    ) -> Any:
        """A surface: one sRGB colour (0..1), or a skin whose fourth channel is roughness; ``glow`` makes it a lamp."""
        made = bpy.data.materials.new("surface")
        made.use_nodes = True
        nodes, links = made.node_tree.nodes, made.node_tree.links
        shader = nodes.get("Principled BSDF") or nodes.new("ShaderNodeBsdfPrincipled")
        shader.inputs["Metallic"].default_value = metal
        shader.inputs["Roughness"].default_value = rough
        linear = (*(_linear(value) for value in colour), 1.0)
        shader.inputs["Base Color"].default_value = linear
        if glow:
            shader.inputs["Emission Color"].default_value = linear
            shader.inputs["Emission Strength"].default_value = glow
        if skin is not None:
            texture = nodes.new("ShaderNodeTexImage")
            texture.image = _image(skin)
            texture.extension = "REPEAT" if tile else "EXTEND"
            links.new(texture.outputs["Color"], shader.inputs["Base Color"])
            links.new(texture.outputs["Alpha"], shader.inputs["Roughness"])
        return made

    def add(
        self,
        mesh: Mesh,
        material: Any,
        *,
        at_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
        yaw_rad: float = 0.0,
        number: int = 0,
        smooth: bool = True,
    ) -> Any:
        """Put a mesh into the scene; ``number`` is what ``shoot`` reports for its pixels. Returns the object."""
        data = bpy.data.meshes.new("mesh")
        data.from_pydata((mesh.vertices_mm * MM).tolist(), [], mesh.quads.tolist())
        layer = data.uv_layers.new(name="skin")
        layer.data.foreach_set("uv", np.ascontiguousarray(mesh.uv, dtype=np.float32).ravel())
        data.polygons.foreach_set("use_smooth", np.full(len(mesh.quads), smooth))
        if mesh.normals is not None:
            data.normals_split_custom_set_from_vertices(mesh.normals.tolist())
        data.materials.append(material)
        return self.add_again(data, at_mm=at_mm, yaw_rad=yaw_rad, number=number)

    def add_again(self, data: Any, *, at_mm: tuple[float, float, float], yaw_rad: float = 0.0, number: int = 0) -> Any:
        """Put another copy of an object's ``data`` into the scene: rollers share one mesh."""
        thing = bpy.data.objects.new("thing", data)
        thing.location = [value * MM for value in at_mm]
        thing.rotation_euler = (0.0, 0.0, yaw_rad)
        thing.pass_index = number
        self._scene.collection.objects.link(thing)
        return thing

    def add_box(
        self,
        size_mm: tuple[float, float, float],
        material: Any,
        *,
        at_mm: tuple[float, float, float],
        yaw_rad: float = 0.0,
        radius_mm: float = 4.0,
    ) -> Any:
        """A plain box standing on ``at_mm``."""
        return self.add(box(size_mm, radius_mm=radius_mm, inner=1), material, at_mm=at_mm, yaw_rad=yaw_rad)

    def add_plane(
        self,
        low_mm: tuple[float, float],
        high_mm: tuple[float, float],
        z_mm: float,
        material: Any,
        tile_mm: tuple[float, float],
    ) -> Any:
        """A level rectangle whose skin repeats every ``tile_mm``."""
        corners = np.array(
            [[low_mm[0], low_mm[1]], [high_mm[0], low_mm[1]], [high_mm[0], high_mm[1]], [low_mm[0], high_mm[1]]]
        )
        vertices = np.column_stack([corners, np.full(4, 0.0)])
        uv = (corners - corners[0]) / np.asarray(tile_mm)
        return self.add(
            Mesh(vertices, np.array([[0, 1, 2, 3]]), uv[None]), material, at_mm=(0.0, 0.0, z_mm), smooth=False
        )

    def world(self, colour: tuple[float, float, float], strength: float) -> None:
        """Even light from everywhere."""
        world = bpy.data.worlds.new("world")
        world.use_nodes = True
        background = next(node for node in world.node_tree.nodes if node.type == "BACKGROUND")
        background.inputs[0].default_value = (*colour, 1.0)
        background.inputs[1].default_value = strength
        self._scene.world = world

    def lamp(
        self,
        at_mm: tuple[float, float, float],
        towards_mm: tuple[float, float, float],
        *,
        watts: float,
        size_mm: tuple[float, float],
        colour: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> None:
        """A rectangular area light; small sizes make hard shadows."""
        data = bpy.data.lights.new("lamp", "AREA")
        data.energy, data.color, data.shape = watts, colour, "RECTANGLE"
        data.size, data.size_y = size_mm[0] * MM, size_mm[1] * MM
        thing = bpy.data.objects.new("lamp", data)
        thing.matrix_world = _looking(at_mm, towards_mm)
        self._scene.collection.objects.link(thing)

    def camera(self, camera: PinholeCamera, *, focus_mm: float | None = None, f_stop: float = 2.8) -> None:
        """Look through exactly this pinhole camera; with ``focus_mm`` what is nearer or farther blurs."""
        data = bpy.data.cameras.new("camera")
        data.sensor_fit, data.sensor_width = "HORIZONTAL", 36.0
        data.lens = camera.focal_px * 36.0 / camera.image_px[0]
        data.clip_start, data.clip_end = 0.02, 200.0
        if focus_mm is not None:
            data.dof.use_dof, data.dof.focus_distance, data.dof.aperture_fstop = True, focus_mm * MM, f_stop
        thing = bpy.data.objects.new("camera", data)
        right, down, forward = camera.axes()
        matrix = np.eye(4)
        matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = right, -down, -forward
        matrix[:3, 3] = np.asarray(camera.position_mm) * MM
        thing.matrix_world = Matrix(matrix.tolist())
        self._scene.collection.objects.link(thing)
        self._scene.camera = thing

    def shoot(self, scratch: Path, *, seed: int | None = None, samples: int | None = None) -> Shot:
        """Render what the camera sees; ``samples`` other than the stage's own for this one picture."""
        if seed is not None:
            self._scene.cycles.seed = seed
        self._scene.cycles.samples = samples or self._samples
        scratch.parent.mkdir(parents=True, exist_ok=True)
        self._scene.render.filepath = str(scratch)
        with quiet():
            bpy.ops.render.render(write_still=True)
        with OpenEXR.File(str(scratch)) as file:
            planes = {name: channel.pixels for part in file.parts for name, channel in part.channels.items()}
        scratch.unlink()
        colour = next(pixels for name, pixels in planes.items() if name.endswith("Combined"))
        index = next(pixels for name, pixels in planes.items() if "Object Index" in name)
        place = [planes[name] for name in sorted(planes) if "Position" in name]  # three channels: X, Y, Z
        return Shot(
            np.ascontiguousarray(colour[..., :3], dtype=np.float32),
            np.rint(index).astype(np.int32),
            np.stack(place, axis=-1).astype(np.float32) / MM if place else None,
        )

    def paint(self, thing: Any, albedo: float) -> None:
        """Give a plain thing another grey, as linear albedo."""
        nodes = thing.data.materials[0].node_tree.nodes
        nodes["Principled BSDF"].inputs["Base Color"].default_value = (albedo, albedo, albedo, 1.0)

    def show_rows(self, first: int, last: int) -> None:
        """Render only these rows of the picture from now on; the others come out black."""
        render, height = self._scene.render, self._image_px[1]
        render.use_border, render.use_crop_to_border = True, False
        render.border_min_x, render.border_max_x = 0.0, 1.0
        render.border_min_y, render.border_max_y = 1.0 - last / height, 1.0 - first / height


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _image(skin: NDArray[np.uint8]) -> Any:
    height, width = skin.shape[:2]
    image = bpy.data.images.new("skin", width, height, alpha=True)
    image.alpha_mode = "CHANNEL_PACKED"
    image.pixels.foreach_set((skin[::-1].astype(np.float32) / 255.0).ravel())
    image.pack()
    return image


def _looking(at_mm: tuple[float, float, float], towards_mm: tuple[float, float, float]) -> Matrix:
    pose = PinholeCamera(at_mm, towards_mm, 1.0, (1, 1)).axes()
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = pose[0], -pose[1], -pose[2]
    matrix[:3, 3] = np.asarray(at_mm) * MM
    return Matrix(matrix.tolist())
