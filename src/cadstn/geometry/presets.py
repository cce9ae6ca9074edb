"""Cameras by product and mode: adding one is an entry here.

A camera's own intrinsics win over every number here. Where a maker publishes angles alone, the
focal length follows from the horizontal one, pixels are square and the centre is the image's
middle; one camera differs from another by some degrees, and all sizes aside by as much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cadstn.geometry.pinhole import Camera


@dataclass(frozen=True)
class Preset:
    """A known camera.

    Attributes:
        maker: of the camera; names are never suggested across makers.
        product: what it is called, with its mode.
        camera: intrinsics, size and unit.
        source: where the numbers come from.
    """

    maker: str
    product: str
    camera: Camera
    source: str


_SOFTKINETIC = Camera(241.42, 241.42, 160.0, 120.0, 320, 240, invalid=(32001, 32002))
_ICVL_SOURCE = "241.42 px reproduces the published errors of ICVL"
_D400_SOURCE = (
    "depth field of view {}, RealSense D400 series data sheet 337029-017; focal lengths of the "
    "modes are 1 : 0.6625 : 0.6, as librealsense prints them (its issue 11511)"
)
_K4A_SOURCE = (
    "calibration of one Azure Kinect as its SDK prints it (panispani/3DReconstruct, "
    "pointCloudGen/calib.md), cut to the mode; modes: Microsoft's and Orbbec's hardware "
    "specifications"
)


def _d400(product: str, angle_deg: float, angles: str) -> dict[str, Preset]:
    """The three common modes of a RealSense D400: 16:9 whole, 16:9 small, 4:3."""
    name = product.lower()
    full = Camera.from_fov(1280, 720, angle_deg)
    modes = {"": (1280, 720, 1.0), "-848": (848, 480, 0.6625), "-640": (640, 480, 0.6)}
    return {
        f"{name}{mode}": Preset(
            "Intel",
            f"RealSense {product}, {width}x{height}",
            Camera(
                full.fx * share, full.fy * share, (width - 1) / 2, (height - 1) / 2, width, height
            ),
            _D400_SOURCE.format(angles),
        )
        for mode, (width, height, share) in modes.items()
    }


def _k4a(name: str, maker: str, product: str) -> dict[str, Preset]:
    """The four modes of Microsoft's time-of-flight module."""
    wide = Camera(
        503.928, 503.979, 524.064, 505.881, 1024, 1024,
        distortion=(
            3.130577, 2.324939, 0.000081, -0.000051, 0.130416, 3.458652, 3.350115, 0.662942,
        ),
    )  # fmt: skip
    narrow = wide.cropped(192, 180, 640, 576)
    modes = {
        "-nfov": narrow,
        "-nfov-binned": narrow.scaled(0.5),
        "-wfov": replace(wide, fps=15.0),
        "-wfov-binned": wide.scaled(0.5),
    }
    return {
        name + mode: Preset(
            maker, f"{product}, {mode[1:]} {camera.width}x{camera.height}", camera, _K4A_SOURCE
        )
        for mode, camera in modes.items()
    }


_SR305 = Preset(
    "Intel",
    "RealSense SR305, 640x480",
    Camera(476.007, 476.007, 313.683, 242.755, 640, 480, depth_unit_mm=0.125),
    "intrinsics that one SR305's recordings came with",
)

PRESETS: dict[str, Preset] = {
    "nyu": Preset(
        "NYU",
        "NYU hand pose data set (PrimeSense), packed as G * 256 + B",
        Camera(588.03, 587.07, 320.0, 240.0, 640, 480, encoding="nyu", invalid=(32001,)),
        "Tompson 2014 and the public evaluators",
    ),
    "icvl": Preset("ICVL", "ICVL hand posture data set", _SOFTKINETIC, _ICVL_SOURCE),
    "msra": Preset("MSRA", "MSRA15 hand data set", _SOFTKINETIC, _ICVL_SOURCE),
    "ds325": Preset("SoftKinetic", "DS325, 320x240", _SOFTKINETIC, _ICVL_SOURCE),
    "kinect1": Preset(
        "Microsoft",
        "Kinect v1, 640x480 millimetres (not raw disparity)",
        Camera(575.816, 575.816, 314.5, 235.5, 640, 480),
        "default calibration of OpenNI's ROS driver: the factory's zero plane, 120 mm over 0.1042 "
        "mm a pixel, halved",
    ),
    "kinect2": Preset(
        "Microsoft",
        "Kinect v2, 512x424",
        Camera(363.9, 363.9, 255.4, 206.3, 512, 424),
        "intrinsics that one Kinect v2's recording came with",
    ),
    **_k4a("azure-kinect", "Microsoft", "Azure Kinect DK"),
    **_k4a("femto", "Orbbec", "Femto Bolt and Mega"),
    "sr305": _SR305,
    "sr300": replace(_SR305, product="RealSense SR300, 640x480"),
    **_d400("D415", 65.0, "65 x 40 degrees"),
    **_d400("D435", 87.0, "87 x 58 degrees"),
    **_d400("D455", 87.0, "87 x 58 degrees"),
    "l515": Preset(
        "Intel",
        "RealSense L515, 1024x768",
        Camera.from_fov(1024, 768, 70.0, depth_unit_mm=0.25),
        "depth field of view 70 x 55 degrees, RealSense L515 data sheet",
    ),
    "l515-640": Preset(
        "Intel",
        "RealSense L515, 640x480",
        Camera.from_fov(640, 480, 70.0, depth_unit_mm=0.25),
        "depth field of view 70 x 55 degrees, RealSense L515 data sheet",
    ),
    "oak-d": Preset(
        "Luxonis",
        "OAK-D, OAK-D S2 and Pro, 640x400",
        Camera(391.7, 391.7, 319.5, 199.5, 640, 400),
        "OAK-D specification sheet: 2.35 mm lens over 3 um pixels at 1280x800, halved",
    ),
    "oak-d-800": Preset(
        "Luxonis",
        "OAK-D, OAK-D S2 and Pro, 1280x800",
        Camera(783.3, 783.3, 639.5, 399.5, 1280, 800),
        "OAK-D specification sheet: 2.35 mm lens over 3 um pixels",
    ),
    "truedepth": Preset(
        "Apple",
        "TrueDepth of an iPhone 11 Pro, 640x480, saved as millimetres",
        Camera(436.5, 436.5, 321.6, 239.5, 640, 480),
        "intrinsics of one phone's recording (ZEISS/iPad_TrueDepth_Issue_Eval); Apple publishes "
        "none, every frame's AVDepthData has its own",
    ),
}


def other_mode(camera: Camera, width: int, height: int) -> str:
    """Offer the other modes of a known camera that frames of this shape come from, or a turn.

    >>> other_mode(PRESETS["d435"].camera, 320, 240)
    '; its mode of this shape: --camera d435-640 --scale 0.5'
    """
    if (width, height) == (camera.height, camera.width):
        return "; or turn the picture by 90 degrees: it lies on its side"
    # Products have equal numbers, and the camera may come from another process.
    same = [preset for preset in PRESETS.values() if preset.camera is camera]
    same = same or [preset for preset in PRESETS.values() if preset.camera == camera]
    if len({preset.maker for preset in same}) > 1:  # whose it is, nobody knows
        return ""
    own = {_product(preset) for preset in same}
    offers = []
    for name, preset in PRESETS.items():
        size = preset.camera.width, preset.camera.height
        if _product(preset) in own and width * size[1] == height * size[0]:
            scale = f" --scale {width / size[0]:.4g}" if width != size[0] else ""
            offers.append(f"--camera {name}{scale}")
    return f"; its mode of this shape: {' or '.join(offers)}" if offers else ""


def _product(preset: Preset) -> tuple[str, str]:
    """Maker and product without its mode."""
    return preset.maker, preset.product.rpartition(", ")[0]
