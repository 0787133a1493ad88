"""What stands in an arena, one record a kind: how many or where, and how large."""

import dataclasses

__all__ = [
    "Area",
    "Buttons",
    "Circle",
    "Goal",
    "Gremlins",
    "Hazards",
    "Pillars",
    "Points",
    "PushBox",
    "Start",
    "Vases",
    "count",
    "fixed",
]

Points = tuple[tuple[float, float], ...]

Places = Points | int
"""Fixed positions (x, y) [m], or how many to place anew at every reset."""

Area = tuple[float, float, float, float]
"""Rectangle (x_min, y_min, x_max, y_max) [m]."""


@dataclasses.dataclass(frozen=True)
class Hazards:
    """Circles on the floor that cost while the robot's origin is inside.

    Attributes:
      places: see `Places`.
      radius: [m].
      keepout: radius kept free when other things are placed [m].
    """

    places: Places
    radius: float
    keepout: float = 0.0


@dataclasses.dataclass(frozen=True)
class Buttons:
    """Fixed spheres; one of them is the goal, touching another costs.

    Attributes:
      places: see `Places`.
      radius: [m].
      keepout: radius kept free when other things are placed [m].
      delay: steps after a press in which buttons are invisible and wrong ones free of charge.
    """

    places: Places
    radius: float = 0.1
    keepout: float = 0.2
    delay: int = 10


@dataclasses.dataclass(frozen=True)
class Pillars:
    """Fixed upright cylinders.

    Attributes:
      places: see `Places`.
      radius: [m].
      keepout: radius kept free when other things are placed [m].
    """

    places: Places
    radius: float = 0.2
    keepout: float = 0.3


@dataclasses.dataclass(frozen=True)
class Goal:
    """A disc on the floor to be reached, or a marker that only takes up room at the placement.

    Attributes:
      radius: [m].
      keepout: radius kept free when other things are placed [m].
      area: in which it is placed; None is the whole extent.
    """

    radius: float
    keepout: float
    area: Area | None = None


@dataclasses.dataclass(frozen=True)
class Circle:
    """A ring round the origin to run along, between walls that cost where one steps beyond.

    Attributes:
      radius: of the ring [m].
      walls: |x| and |y| beyond which it costs [m]; infinite where there is none.
    """

    radius: float
    walls: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Gremlins:
    """Light boxes that circle in phase.

    Attributes:
      places: centres of their circles, see `Places`.
      travel: radius of the circle [m].
      keepout: radius kept free when other things are placed [m].
      half: half side of the box [m].
      yaws: constant orientations [rad]; None draws them at every reset.
    """

    places: Places
    travel: float
    keepout: float
    half: float = 0.1
    yaws: tuple[float, ...] | None = None
    name: str = "gremlins"


@dataclasses.dataclass(frozen=True)
class Vases:
    """Light boxes that stand on the floor and slide when pushed.

    Attributes:
      places: see `Places`.
      keepout: radius kept free when other things are placed [m].
      half: half side of the box [m].
      density: [kg / m^3].
    """

    places: Places
    keepout: float = 0.15
    half: float = 0.1
    density: float = 0.001
    yaws: None = None
    name: str = "vases"


@dataclasses.dataclass(frozen=True)
class PushBox:
    """A box with a notch in each side, to be pushed to the goal.

    A cube of half side `half`, and round each of its upright edges a column of half that side.

    Attributes:
      places: see `Places`.
      half: half side of the cube [m].
      density: [kg / m^3].
      keepout: radius kept free when other things are placed [m].
      yaws: constant orientation [rad]; None draws it at every reset.
    """

    places: Places
    half: float
    density: float
    keepout: float
    yaws: tuple[float, ...] | None = None
    name: str = "box"


@dataclasses.dataclass(frozen=True)
class Start:
    """The one state in which every episode of a task with a fixed layout starts.

    Attributes:
      position: robot origin (x, y) [m].
      heading: [rad].
      goal: index of the first goal button, or position (x, y) of the first goal [m].
    """

    position: tuple[float, float]
    heading: float
    goal: int | tuple[float, float]


def fixed(places: Places) -> Points | None:
    """Fixed positions, or None where they are drawn."""
    return None if isinstance(places, int) else places


def count(places: Places) -> int:
    """How many there are."""
    return places if isinstance(places, int) else len(places)
